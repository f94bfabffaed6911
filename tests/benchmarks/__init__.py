"""Benchmarks: our figures beside a lower bound and beside what people would write by hand, in the same run.

``python -m tests.benchmarks`` measures everything and prints one table; ``--only``, ``--rounds`` and ``--short``
measure less, and ``--write`` puts the table into ``docs/reference/performance.rst``. Databases, queues and files are
created for the run, on the servers of the tests, and deleted after it.
"""
