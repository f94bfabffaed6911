"""The progress bar: what it says of a task, then of a download."""

from __future__ import annotations

import io
import re
import sys

import pytest
from rich.console import Console

from django_asyncexchange.client.progress_bar import ProgressBar, counted, described
from django_asyncexchange.client.values import DOWNLOADING, Progress


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), force_terminal=True, width=150)


def test_bar_shows_the_task_then_the_download(screen):
    with ProgressBar(screen) as bar:
        bar(Progress("PROCESSING", 3, 10, "rows [/read]"))
        waiting = bar._bar.tasks[0]
        assert (waiting.description, waiting.percentage) == ("PROCESSING rows [/read]", 30)
        bar(Progress(DOWNLOADING, 500_000, 2_000_000))
        [download] = bar._bar.tasks
        assert (download.description, download.percentage) == (DOWNLOADING, 25)
        assert download.id != waiting.id  # whose pace is another
    assert "DOWNLOADING" in screen.file.getvalue() and "0.5/2.0 MB" in screen.file.getvalue()


def test_one_bar_is_used_for_one_call_after_the_other(screen):
    with ProgressBar(screen) as bar:
        for state in (DOWNLOADING, "PENDING"):
            bar(Progress(state, 1, 2))
        assert [task.description for task in bar._bar.tasks] == ["PENDING"]


def test_unknown_total_is_no_percentage(screen):
    with ProgressBar(screen) as bar:
        bar(Progress("PENDING"))
        assert bar._bar.tasks[0].total is None


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("PENDING"), "PENDING"),
        (Progress("PROCESSING", message="half\x1b[2J way\n"), "PROCESSING half[2J way"),
        (Progress("PROCESSING", eta="soon"), "PROCESSING"),
    ],
    ids=["state", "control characters", "no date"],
)
def test_description(progress, text):
    assert described(progress) == text


def test_end_of_the_task_is_shown_in_local_time():
    text = described(Progress("PROCESSING", eta="2026-12-24T12:00:05.000Z"))
    assert re.fullmatch(r"PROCESSING until \d\d:\d\d:05", text)


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("PROCESSING", 3, 10), "3/10"),
        (Progress("PROCESSING"), ""),
        (Progress(DOWNLOADING, 1_234_567, 2_000_000), "1.2/2.0 MB"),
        (Progress(DOWNLOADING, 1_234_567), "1.2 MB"),
    ],
)
def test_count(progress, text):
    assert counted(progress) == text


def test_without_rich_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=r"django-asyncexchange\[client\]"):
        ProgressBar()
