"""One journey, played on every broker and database: a real web server, real workers, nothing but HTTP between.

``pytest`` plays a part of them on a few cells of the matrix, so that each broker, each database and each test is there
once; with ``--full`` it plays all of them on all.
"""
