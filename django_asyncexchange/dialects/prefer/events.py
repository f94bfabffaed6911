"""The default dialect's Server-Sent Events: ``state`` and ``progress`` when they change, then ``end``.

The id of an event tells what its client has seen, so that nothing is stored for a client that reconnects:
``{attempt}.{state}`` or ``{attempt}.{state}.{digest of the progress}``; ``end`` for the last one.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping

from ...protocol.server_events import ServerEvent
from ...protocol.values import Snapshot
from .documents import percent_of

END = "end"


def unseen(task: Snapshot, document: Mapping[str, object], seen: str) -> tuple[ServerEvent, ...]:
    """The events of ``task`` for a client that has seen the one with the id ``seen``.

    ``document``: its status document. After ``end`` there are none.
    """
    if task.state.is_final:
        return () if seen == END else (ServerEvent(name="end", id=END, data=_line(document)),)
    place = f"{task.attempt}.{task.state}"
    events = []
    if seen.rpartition(".")[0] != place and seen != place:
        events.append(ServerEvent(name="state", id=place, data=_line(document)))
    if task.progress is not None:
        progress = _line({**dataclasses.asdict(task.progress), "percent": percent_of(task)})
        id = f"{place}.{zlib.crc32(progress.encode('utf-8', 'replace')):08x}"
        if seen != id:
            events.append(ServerEvent(name="progress", id=id, data=progress))
    return tuple(events)


def _line(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
