"""Wire languages, one module or package each. Values in, values out: no Django, database, clock or settings."""
