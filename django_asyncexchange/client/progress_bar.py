"""A progress bar on the terminal: ``with ProgressBar() as bar``, and ``Options(on_progress=bar)``."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from .values import DOWNLOADING, Progress

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class ProgressBar:
    """Shows one call at a time, first how far its task is, then how much of the result has arrived.

    It is drawn on stderr, or on ``console``, and disappears at the end. Raises ImportError where rich is not installed.
    """

    def __init__(self, console: Console | None = None) -> None:
        try:
            from rich import console as consoles
            from rich import progress as bars
        except ImportError as error:
            raise ImportError("The progress bar needs rich: pip install django-asyncexchange[client]") from error
        self._bar = bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.TextColumn("{task.fields[counted]}", markup=False),
            bars.TimeRemainingColumn(),
            console=console or consoles.Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None
        self._is_download = False

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar off the screen."""
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        is_download = progress.state == DOWNLOADING
        if self._task is not None and is_download is not self._is_download:
            self._bar.remove_task(self._task)  # its pace is not that of the next
            self._task = None
        if self._task is None:
            self._task, self._is_download = self._bar.add_task("", total=None, counted=""), is_download
        self._bar.update(
            self._task,
            description=described(progress),
            completed=progress.done or 0,
            total=progress.total,
            counted=counted(progress),
        )


def described(progress: Progress) -> str:
    """State, message and time of the end, for people. Characters that control a terminal are left out."""
    text = " ".join(filter(None, (progress.state, progress.message, f"until {at}" if (at := ends(progress)) else "")))
    return "".join(character for character in text if character.isprintable())


def counted(progress: Progress) -> str:
    """``3/10``, or ``1.2/3.4 MB`` while the result arrives."""
    if progress.state == DOWNLOADING:
        done = f"{(progress.done or 0) / 1e6:.1f}"
        return f"{done} MB" if progress.total is None else f"{done}/{progress.total / 1e6:.1f} MB"
    return "" if progress.total is None else f"{progress.done}/{progress.total}"


def ends(progress: Progress) -> str:
    """The time of ``eta`` in the local time zone."""
    try:
        return f"{datetime.fromisoformat(progress.eta).astimezone():%H:%M:%S}" if progress.eta else ""
    except ValueError:
        return ""
