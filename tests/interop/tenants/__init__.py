"""A project of django-tenants: a PostgreSQL schema for each tenant, with users of its own."""
