"""What the demonstration plays: a stage of real processes, a teller that prints HTTP, one scene per dialect."""
