"""A database backend: a replica that must not be queried."""
