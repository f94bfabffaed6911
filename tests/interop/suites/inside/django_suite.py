"""Runs modules of Django's own suite by its own ``runtests.py``, in the current folder."""

from __future__ import annotations

import os
import runpy
import sys

import recording

if __name__ == "__main__":
    recording.of_unittest()
    if os.environ.get("PARITY_DEFERRED"):
        import deferring

        deferring.install()
    sys.path[0] = os.getcwd()
    sys.argv = ["runtests.py", "--parallel=1", "--verbosity=0", "--noinput", *sys.argv[1:]]
    runpy.run_path("runtests.py", run_name="__main__")
