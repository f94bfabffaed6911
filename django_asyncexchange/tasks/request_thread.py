"""The thread of a request whose client waits: what it holds is released meanwhile."""

from __future__ import annotations

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

STOCK = "django.db.backends."
"""Where Django's own database backends are."""


def close_connections() -> bool:
    """Close this thread's database connections, also persistent ones (``CONN_MAX_AGE``): the wait may take minutes.

    Returns whether another thread's are as good: those of a foreign backend may know a tenant.
    """
    opened = connections.all(initialized_only=True)
    for connection in opened:
        if not connection.in_atomic_block:
            connection.close()
    return all(type(connection).__module__.startswith(STOCK) for connection in opened)


async def release() -> bool:
    """Close the connections of this request's thread under ASGI, and end it; synchronous code then gets a new one.

    Returns what ``close_connections`` does.

    asgiref has one thread for each request, which would wait with it: hundreds of clients shall not hold as many.
    """
    is_replaceable = await sync_to_async(close_connections)()
    context = SyncToAsync.thread_sensitive_context.get(None)
    if not is_replaceable or context is None or getattr(context, "_executor", None) is not None:  # the server's own
        return is_replaceable
    executor = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        executor.shutdown(wait=False)
    return is_replaceable
