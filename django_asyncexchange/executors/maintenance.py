"""Recovers lost calls, sends waiting ones and prunes, in a thread of each worker process."""

from __future__ import annotations

import os
import threading

from django.db import connections
from django.utils.module_loading import import_string

LOOP = "django_asyncexchange.worker.runner.run_maintenance"
MARK_WORKER = "django_asyncexchange.worker.watchdog.mark_worker"

_pid = 0
"""The process whose thread was started; in a forked child still that of its parent."""


def start() -> None:
    """Start the maintenance thread of this worker process. Calling it again changes nothing."""
    global _pid
    if _pid == os.getpid():
        return
    _pid = os.getpid()
    threading.Thread(target=_run, name="asyncexchange-maintenance", daemon=True).start()


def _run() -> None:
    import_string(MARK_WORKER)()
    try:
        import_string(LOOP)(threading.Event())
    finally:
        connections.close_all()
