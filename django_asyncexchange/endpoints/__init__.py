"""The task and webhook endpoints of all mounted dialects."""
