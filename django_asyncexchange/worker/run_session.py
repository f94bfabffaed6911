"""The session of a run: empty, and never saved, since no browser has its cookie.

What a view writes into it would be lost, so that raises SessionNotKept. What Django itself writes (a login, messages,
the language), or a middleware, is dropped.
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


class RunSessionMixin(Base):
    """Added to the project's session class."""

    is_in_view = False
    """Whether the view is running."""
    backend = ""
    """The authentication backend of the run's owner."""

    def is_empty(self) -> bool:
        return True  # SessionMiddleware neither saves it nor sends a cookie

    def create(self) -> None:
        self._refuse_in_view("request.session.create()")

    def save(self, must_create: bool = False) -> None:
        self._refuse_in_view("request.session.save()")

    def delete(self, session_key: str | None = None) -> None:
        if session_key is not None:  # of another session
            super().delete(session_key)

    def clear(self) -> None:
        super().clear()
        self._session_cache = RunSessionData(self)

    def cycle_key(self) -> None:
        """There is no key to be cycled at a login."""

    async def acreate(self) -> None:
        self.create()

    async def asave(self, must_create: bool = False) -> None:
        self.save(must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        if session_key is not None:
            await super().adelete(session_key)

    async def acycle_key(self) -> None:
        self.cycle_key()

    def _refuse_in_view(self, what: str) -> None:
        if self.is_in_view:
            raise SessionNotKept(what)


class RunSessionData(dict[str, Any]):
    """The items of the session. Keys with a leading underscore are Django's (documentation of sessions)."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def __setitem__(self, key: str, value: Any) -> None:
        if not key.startswith("_"):
            self.session._refuse_in_view(f"request.session[{key!r}]")
        super().__setitem__(key, value)

    def __missing__(self, key: str) -> str:
        """RemoteUserMiddleware, which gets the user from a header, reads the backend of the login from the session."""
        if key == BACKEND_SESSION_KEY and self.session.backend:
            backend: str = self.session.backend
            return backend
        raise KeyError(key)

    def update(self, values: Any) -> None:  # type: ignore[override]
        for key, value in dict(values).items():
            self[key] = value


DEVICE = "otp_device_id"
"""The key by which django-otp finds the device that has verified the user."""


def as_run_session(store: Any, backend: str = "", device: str = "") -> Any:
    """``store`` as the session of a run. ``backend`` and ``device``: of its owner (authentication, django-otp).

    Only Django's sessions are changed.
    """
    if isinstance(store, SessionBase):
        store.__class__ = _run_session_class(type(store))
        store.backend = backend  # type: ignore[attr-defined]
        store._session_key, store._session_cache = None, RunSessionData(store)  # type: ignore[attr-defined]
        if device:
            store[DEVICE] = device
            store.modified = False
    return store


@contextlib.contextmanager
def refuse_writes(request: Any) -> Iterator[None]:
    """While the view of ``request`` runs, writes to its session raise SessionNotKept."""
    session = getattr(request, "session", None)
    if not isinstance(session, RunSessionMixin):
        yield
        return
    session.is_in_view = True
    try:
        yield
    finally:
        session.is_in_view = False


def mark_as_read(request: Any) -> None:
    """Mark the session of ``request`` as read, as whoever learns the user by it has done: ``Vary: Cookie`` follows."""
    session = request.__dict__.get("session")
    if isinstance(session, RunSessionMixin):
        session.accessed = True


@contextlib.contextmanager
def unmarked(request: Any) -> Iterator[None]:
    """Reads of the session meanwhile do not count."""
    session = request.__dict__.get("session")
    was_read = getattr(session, "accessed", False)
    yield
    if isinstance(session, RunSessionMixin):
        session.accessed = was_read


@functools.cache
def _run_session_class(cls: type[SessionBase]) -> type[SessionBase]:
    return type(cls.__name__, (RunSessionMixin, cls), {})
