"""Values and rules of the wire that need the standard library alone: no Django, no database, no clock."""
