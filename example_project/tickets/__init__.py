"""A dialect of one's own: nothing in django_asyncexchange knows of it."""
