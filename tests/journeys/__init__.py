"""One journey, played on every broker and database: a real web server, real workers, nothing but HTTP between.

``pytest`` plays a few cells of the matrix, so that each broker and each database is there once; with
``TEST_JOURNEYS=all``, as in ``tox -e journeys``, it plays all of them.
"""
