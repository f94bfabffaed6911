"""Test suites of other packages, unmodified, with every request of theirs answered later."""
