"""What a run leaves behind in its process is put right before anything else happens there.

Django does this for a view's connections only as far as a server needs it. A worker goes on to write the end of the
task, and a transaction that the view has left open would swallow that and the tasks after it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from django.db import connections

logger = logging.getLogger("django_asyncexchange")


def in_transaction() -> frozenset[str]:
    """The aliases of this thread's connections that are in a transaction."""
    return frozenset(made.alias for made in connections.all(initialized_only=True) if made.in_atomic_block)


def settle(before: Collection[str]) -> None:
    """Close the connections that the run has left in a transaction, which rolls it back; not those in ``before``."""
    for made in connections.all(initialized_only=True):
        is_manual = made.connection is not None and made.get_autocommit() != made.settings_dict["AUTOCOMMIT"]
        if made.alias not in before and (made.in_atomic_block or is_manual):
            logger.warning("a view has left a transaction open on %r; it is rolled back", made.alias)
            made.close()
            del connections[made.alias]
