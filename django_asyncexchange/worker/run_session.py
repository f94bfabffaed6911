"""The session of a run: there is no browser to come back with it.

It reads as a new visitor's. What a view writes into it would be lost, so that is an error; what belongs to Django's own
ways (a login, messages, the language) or to a middleware is forgotten. No row is ever written.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase

if TYPE_CHECKING:
    Base = SessionBase
else:
    Base = object


class SessionNotKept(Exception):
    """A view of a call that is answered later has written to the session, which nothing would keep."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: a call that is answered later has no session that is kept.")


class Unkept(Base):
    """What is changed in the project's class of sessions."""

    is_the_views = False
    """Whether the view is at work."""
    backend = ""
    """Of the run's owner."""

    def is_empty(self) -> bool:
        return True  # SessionMiddleware neither saves it nor sends a cookie

    def create(self) -> None:
        self._refuse("request.session.create()")

    def save(self, must_create: bool = False) -> None:
        self._refuse("request.session.save()")

    def delete(self, session_key: str | None = None) -> None:
        if session_key is not None:  # another one
            super().delete(session_key)

    def clear(self) -> None:
        super().clear()
        self._session_cache = Data(self)

    def cycle_key(self) -> None:
        """There is none: nothing to be done at a login."""

    async def acreate(self) -> None:
        self.create()

    async def asave(self, must_create: bool = False) -> None:
        self.save(must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        if session_key is not None:
            await super().adelete(session_key)

    async def acycle_key(self) -> None:
        self.cycle_key()

    def _refuse(self, what: str) -> None:
        if self.is_the_views:
            raise SessionNotKept(what)


class Data(dict[str, Any]):
    """What is in such a session. Keys that begin with an underscore are Django's (documentation of sessions)."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def __setitem__(self, key: str, value: Any) -> None:
        if not key.startswith("_"):
            self.session._refuse(f"request.session[{key!r}]")
        super().__setitem__(key, value)

    def __missing__(self, key: str) -> str:
        """Whose name a header gives at every request (RemoteUserMiddleware) is asked for the backend of its login."""
        if key == BACKEND_SESSION_KEY and self.session.backend:
            backend: str = self.session.backend
            return backend
        raise KeyError(key)

    def update(self, values: Any) -> None:  # type: ignore[override]
        for key, value in dict(values).items():
            self[key] = value


DEVICE = "otp_device_id"
"""Where django-otp looks for the device by which a user was verified; it asks whether that is still the user's."""


def unkept(store: Any, backend: str = "", device: str = "") -> Any:
    """``store`` as the session of a run whose owner ``backend`` knows and ``device`` has verified (django-otp).

    Anything but a session of Django's is left as it is.
    """
    if isinstance(store, SessionBase):
        store.__class__ = _unkept(type(store))
        store.backend = backend  # type: ignore[attr-defined]
        store._session_key, store._session_cache = None, Data(store)  # type: ignore[attr-defined]
        if device:
            store[DEVICE] = device
            store.modified = False
    return store


@contextlib.contextmanager
def refusing(request: Any) -> Iterator[None]:
    """While the view of ``request`` is at work."""
    session = getattr(request, "session", None)
    if not isinstance(session, Unkept):
        yield
        return
    session.is_the_views = True
    try:
        yield
    finally:
        session.is_the_views = False


@functools.cache
def _unkept(cls: type[SessionBase]) -> type[SessionBase]:
    return type(cls.__name__, (Unkept, cls), {})
