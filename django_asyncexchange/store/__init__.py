"""Task transitions, bodies in the database or a storage, and retries of transient database errors."""
