"""Prepared statements: SQL that is compiled once instead of on every call."""
