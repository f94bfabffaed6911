"""Test suites of other packages, unmodified, with each of their requests deferred."""
