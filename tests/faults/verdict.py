"""``python -m tests.faults.verdict NAME SECONDS``: what became of the calls whose ids come as JSON on stdin, as JSON.

Waits until each has ended, or for the given seconds.
A process of its own, because it reads the database and the storage of another project than the tests'.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

WHOLE = 100_000
"""Bytes that the view ``works`` answers with: more than fits into a row."""


@dataclasses.dataclass
class Verdict:
    """The outcome of the calls that got a 202."""

    COUNTS: ClassVar[tuple[str, ...]] = (
        "accepted",
        "done",
        "cancelled",
        "ended lost",
        "failed",
        "lost",
        "duplicated",
        "stuck",
        "orphans",
    )

    states: dict[str, int]
    """How many ended how: a state, with its reason if there is one."""
    unfinished: list[str]
    """Without a final state."""
    lost: list[str]
    """Not stored at all."""
    safe_not_done: list[str]
    doubled: list[str]
    """Unsafe calls that were started more than once."""
    without_effect: list[str]
    """Done, and never run."""
    without_answer: list[str]
    """Done, and what they answered is not there, or not whole."""
    unexpected: list[str]
    """Runs of calls that nobody was told were accepted."""
    orphans: list[str]
    """Stored files that no row names."""

    @property
    def accepted(self) -> int:
        return sum(self.states.values()) + len(self.lost)

    @property
    def done(self) -> int:
        return self.states.get("DONE", 0)

    @property
    def cancelled(self) -> int:
        return self.states.get("CANCEL", 0)

    @property
    def ended_lost(self) -> int:
        """Unsafe calls whose worker died during the run: how far they came is unknown."""
        return self.states.get("ERROR lost", 0)

    @property
    def failed(self) -> int:
        """Calls that ended otherwise."""
        return sum(self.states.values()) - self.done - self.cancelled - self.ended_lost - len(self.unfinished)

    @property
    def counts(self) -> dict[str, int]:
        found = {"lost": self.lost, "duplicated": self.doubled, "stuck": self.unfinished, "orphans": self.orphans}
        return {
            "accepted": self.accepted,
            "done": self.done,
            "cancelled": self.cancelled,
            "ended lost": self.ended_lost,
            "failed": self.failed,
            **{name: len(ids) for name, ids in found.items()},
        }

    @property
    def mistakes(self) -> dict[str, list[str]]:
        return {name: found for name, found in dataclasses.asdict(self).items() if isinstance(found, list) and found}


def judge(name: str, accepted: list[str]) -> Verdict:
    from django.contrib.auth.models import Group

    from django_asyncexchange.models import AsyncTask, Body
    from django_asyncexchange.protocol.states import State

    rows = {str(row.pk): row for row in AsyncTask.objects.filter(pk__in=accepted)}
    traces = Group.objects.filter(name__startswith=f"{name} ").values_list("name", flat=True)
    runs = collections.Counter(trace.split()[1] for trace in traces)
    safe = {pk for pk, row in rows.items() if row.is_repeatable}
    done = {pk for pk, row in rows.items() if row.state == State.DONE}
    files, asked = kept(), {row.pk for row in rows.values() if "/works/" in row.url and str(row.pk) in done}
    answers = Body.objects.filter(task__in=asked, kind=Body.RESPONSE, size=WHOLE).values_list("task", "name")
    whole = {task for task, name in answers if name in files}
    final = {pk for pk, row in rows.items() if State(row.state).is_final}
    return Verdict(
        states=dict(collections.Counter(f"{row.state} {row.reason}".strip() for row in rows.values())),
        unfinished=sorted(set(rows) - final),
        lost=sorted(set(accepted) - set(rows)),
        safe_not_done=sorted((safe & final) - done),
        doubled=sorted(pk for pk, count in runs.items() if count > 1 and pk not in safe),
        without_effect=sorted(done - set(runs)),
        without_answer=sorted(map(str, asked - whole)),
        unexpected=sorted(set(runs) - set(accepted)),
        orphans=sorted(files - set(Body.objects.exclude(name="").values_list("name", flat=True))),
    )


def kept() -> set[str]:
    """The names of all files in the storage."""
    from django.core.files.storage import storages

    storage: Any = storages["asyncexchange"]
    if hasattr(storage, "bucket"):
        return {found.key for found in storage.bucket.objects.all()}
    home = Path(os.environ["JOURNEY_HOME"]) / "bodies"
    return {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()}


if __name__ == "__main__":
    import django

    django.setup()
    deadline, accepted = time.monotonic() + float(sys.argv[2]), json.load(sys.stdin)
    while (verdict := judge(sys.argv[1], accepted)).unfinished and time.monotonic() < deadline:
        time.sleep(0.5)
    print(json.dumps(dataclasses.asdict(verdict)))
