"""Store a view's response, and serve a stored one."""
