"""Statements that come with every call, translated once and run without the ORM's compiler."""
