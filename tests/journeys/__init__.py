"""One journey on every broker and database: a real web server, real workers, HTTP only.

``pytest`` runs a part of them on a few cells of the matrix, so that each broker, each database and each test occurs
once; with ``--full`` it runs all of them on all cells.
"""
