"""A project of django-tenants: a schema of PostgreSQL for each tenant, with users of its own."""
