"""Wire languages, one file each. Values in, values out: no Django, no database, no clock, no settings."""
