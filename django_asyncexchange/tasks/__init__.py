"""A task's life: submitted, dispatched, claimed, ended, recovered, pruned."""
