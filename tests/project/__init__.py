"""A small Django app: the views and models that the tests defer."""
