"""Values and rules of HTTP that need the standard library only: no Django, no database, no clock."""
