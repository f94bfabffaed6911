"""Responses: what is stored of a view's, and what a client gets of a stored one."""
