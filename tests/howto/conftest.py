"""One project for all pages, with one web server and one worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..newcomer import Environment
from ..receivers import receiving
from .reader import Reader


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Iterator[Reader]:
    """A reader whose project runs."""
    home = tmp_path_factory.mktemp("reader")
    with receiving() as receiver:
        reader = Reader(home / "project", Environment(home, wheel), receiver)
        try:
            reader.settle()
            yield reader
        finally:
            reader.leave()
