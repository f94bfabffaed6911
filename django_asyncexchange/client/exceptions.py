"""The failures of a call that was accepted; each knows the address of its task."""

from __future__ import annotations


class AsyncExchangeError(Exception):
    """Base of them all. ``status_url`` is the task's poll address, ``status`` and ``code`` are the server's, if any."""

    def __init__(self, message: str, status_url: str, status: int | None = None, code: str = "") -> None:
        super().__init__(f"{message} ({status_url})")
        self.status_url = status_url
        self.status = status
        self.code = code


class TaskFailed(AsyncExchangeError):
    """The task ended without a response, for example because its worker died."""


class TaskCancelled(AsyncExchangeError):
    """The task was cancelled."""


class ResultGone(AsyncExchangeError):
    """The task or its result is deleted."""


class CredentialsRejected(AsyncExchangeError):
    """The server no longer accepts the caller: 401 or 403 of a poll. The task goes on."""


class TaskTimeout(AsyncExchangeError):
    """``timeout`` has passed. The task goes on."""


class ServerUnreachable(AsyncExchangeError):
    """Polls or downloads failed too often in a row. The task goes on; the cause is the last connection error."""


class DownloadInterrupted(AsyncExchangeError):
    """The connection broke while the result was read, and the result cannot be continued. It is still stored."""


class UnexpectedResponse(AsyncExchangeError):
    """A response that the protocol does not know."""
