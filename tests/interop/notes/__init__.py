"""The project's own app: notes, and views that return their user."""
