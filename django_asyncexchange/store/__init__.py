"""Rows and bytes: the transitions of a task, bodies in the database or in a storage, and errors that pass."""
