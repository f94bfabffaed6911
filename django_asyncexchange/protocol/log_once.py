"""What is worth a line in the log, and not one a call."""

from __future__ import annotations

import logging

logger = logging.getLogger("django_asyncexchange")

_made: set[str] = set()


def once(remark: str, error: Exception | None = None) -> None:
    """Log ``remark`` as a warning, with the traceback of ``error``, the first time that this process has to say it."""
    if remark not in _made:
        _made.add(remark)
        logger.warning(remark, exc_info=error)
