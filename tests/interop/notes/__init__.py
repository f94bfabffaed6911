"""What the project itself has: notes, and views that say who calls."""
