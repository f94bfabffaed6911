"""Log a warning once per process, not once per call."""

from __future__ import annotations

import logging

logger = logging.getLogger("django_asyncexchange")

_made: set[str] = set()


def once(remark: str, error: Exception | None = None) -> None:
    """Log ``remark`` as a warning, with the traceback of ``error``, unless this process has logged it already."""
    if remark not in _made:
        _made.add(remark)
        logger.warning(remark, exc_info=error)
