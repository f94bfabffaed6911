"""A download of a gigabyte whose connection breaks ten times: byte for byte, in constant memory."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
from django.conf import settings as project

from .downloading import KINDS
from .proxy import MOMENTS, RESULT, Fault
from .site import MB, pieces

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.client.site"),
    pytest.mark.slow,
    pytest.mark.full,
]
SIZE, CUTS = 1024, 10
"""Megabytes, connections."""
PEAK = 100 * MB


@pytest.fixture
def on_disk(settings, tmp_path):
    files = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "results"}}
    settings.STORAGES = {**project.STORAGES, "asyncexchange": files}


@pytest.mark.parametrize("kind", KINDS)
def test_gigabyte_that_is_cut_ten_times_arrives_whole_in_constant_memory(on_disk, line, cookie, kind):
    line.faults = [Fault(RESULT, MOMENTS[3], after=SIZE * MB // (CUTS + 1) + 1) for _ in range(CUTS)]
    command = [sys.executable, "-m", "tests.client.downloading", kind, f"{line.url}/streams/{SIZE}/"]
    done = subprocess.run(command, input=json.dumps(cookie), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen, whole = json.loads(done.stdout), hashlib.sha256()
    for piece in pieces(SIZE):
        whole.update(piece)
    assert seen["sha256"] == whole.hexdigest()
    assert line.steps().count(RESULT) == CUTS + 1
    assert seen["peak"] < PEAK, f"{seen['peak'] / MB:.0f} MB"
