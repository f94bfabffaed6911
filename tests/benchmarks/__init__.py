"""How fast it is, beside what it cannot be faster than and what people would write by hand: in the same run.

``python -m tests.benchmarks`` measures everything and prints one table; ``--only``, ``--rounds`` and ``--short``
measure less, and ``--write`` puts the table into ``docs/reference/performance.rst``. Databases, queues and files are
made for the run, on the servers that the tests use, and are gone after it.
"""
