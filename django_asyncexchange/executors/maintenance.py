"""Sweeping and pruning in a worker process, beside its main thread."""

from __future__ import annotations

import os
import threading

from django.db import connections
from django.utils.module_loading import import_string

HOUSEKEEPER = "django_asyncexchange.worker.runner.run_maintenance"
WORKER = "django_asyncexchange.worker.watchdog.this_is_a_worker"

_home = 0
"""The process that has one; a forked child finds its parent's id here."""


def start() -> None:
    """Have this process look after what others left behind. Calling it again changes nothing."""
    global _home
    if _home == os.getpid():
        return
    _home = os.getpid()
    threading.Thread(target=_keep, name="asyncexchange-housekeeper", daemon=True).start()


def _keep() -> None:
    import_string(WORKER)()
    try:
        import_string(HOUSEKEEPER)(threading.Event())
    finally:
        connections.close_all()
