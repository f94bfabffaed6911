"""A replica that nobody should ask: a database backend."""
