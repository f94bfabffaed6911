"""The default dialect's JSON documents: a task, its links, a list."""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import re
from urllib.parse import parse_qsl, urlencode

from ...exceptions import PagingMalformed, QueryMalformed
from ...protocol.states import State
from ...protocol.values import Estimate, Headers, Listing, Page, Snapshot
from ..base.results import result_error

LIMIT, MAX_LIMIT, MAX_PARAMETERS = 100, 1000, 100
RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")
UNREADABLE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00|\0")  # databases refuse a zero character


def links_of(
    task: Snapshot, base: str, now: dt.datetime, *, query: str = "", has_events: bool = False
) -> dict[str, str]:
    """The task's URLs, each only while it can be used; that of ``download`` only with the ``query`` that signs it."""
    address = f"{base}/tasks/{task.id}"
    links = {"self": address, "operation": f"{base}/operations/{task.id}"}
    if not task.state.is_final:
        links["cancel"] = address
        if has_events:
            links["events"] = f"{address}/events"
    elif result_error(task, now) is None:
        links["result"] = f"{address}/result"
        if query:
            links["download"] = f"{address}/download?{query}"
    return links


def document_of(
    task: Snapshot,
    base: str,
    now: dt.datetime,
    estimate: Estimate | None = None,
    *,
    query: str = "",
    has_events: bool = False,
) -> dict[str, object]:
    """The status document: every key is always present, null where it does not apply or is not known.

    ``query`` and ``has_events``: as in ``links_of``.
    """
    estimate = estimate or Estimate()
    return {
        "id": str(task.id),
        "state": task.state,
        "reason": task.reason,
        "method": task.method,
        "request": task.url,
        "created": date(task.created),
        "started": date(task.started),
        "finished": date(task.finished),
        "progress": task.progress and dataclasses.asdict(task.progress),
        "queue_position": estimate.queue_position,
        "eta": date(estimate.eta),
        "deletion_date": date(task.deletion_date),
        "links": links_of(task, base, now, query=query, has_events=has_events),
    }


def percent_of(task: Snapshot) -> int | None:
    """Progress in whole per cent, or None where it is unknown."""
    if task.state is State.DONE or not (task.progress and task.progress.total):
        return 100 if task.state is State.DONE else None
    return max(0, min(100, task.progress.done * 100 // task.progress.total))


def date(moment: dt.datetime | None) -> str | None:
    """RFC 3339 in UTC, always with milliseconds."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if moment else None


def moment_of(text: object) -> dt.datetime | None:
    """The moment that ``text`` states as in RFC 3339, in UTC; None where it states none."""
    if not isinstance(text, str) or not RFC3339.fullmatch(text):
        return None
    try:
        return dt.datetime.fromisoformat(text.upper()).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def decoded(query: str) -> list[tuple[str, str]]:
    if UNREADABLE.search(query):
        raise QueryMalformed()
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise QueryMalformed() from None


def whole_number(name: str, text: str, *, least: int) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least:  # more does not fit a database's integer
        raise PagingMalformed(parameter=name, value=text)
    return int(text)


def listing(query: str) -> Listing:
    """Parse ``limit`` and ``offset`` as in DRF; all other parameters, ``order_by`` too, are for the ``FilterSet``."""
    pairs = decoded(query)
    paging = {name: text for name, text in pairs if name in {"limit", "offset"}}
    return Listing(
        filters=tuple((name, text) for name, text in pairs if name not in paging),
        limit=min(whole_number("limit", paging.get("limit", str(LIMIT)), least=1), MAX_LIMIT),
        offset=whole_number("offset", paging.get("offset", "0"), least=0),
    )


def page_document(page: Page, results: list[dict[str, object]], address: str) -> dict[str, object]:
    """The document of DRF's ``LimitOffsetPagination``; ``address`` is the list's URL."""
    before, after = page.listing.offset - page.listing.limit, page.listing.offset + page.listing.limit
    previous = slice_url(page.listing, before, address) if page.listing.offset else None
    following = slice_url(page.listing, after, address) if after < page.size else None
    return {"count": page.size, "next": following, "previous": previous, "results": results}


def slice_url(listing: Listing, offset: int, address: str) -> str:
    start = (("offset", str(offset)),) if offset > 0 else ()
    return f"{address}?{urlencode((*listing.filters, ('limit', str(listing.limit)), *start))}"


def result_headers(task: Snapshot) -> Headers:
    """``AsyncResult`` and ``Sunset``."""
    end = task.deletion_date
    sunset = (("Sunset", email.utils.format_datetime(end.astimezone(dt.UTC), usegmt=True)),) if end else ()
    return (("AsyncResult", str(task.status_code)), *sunset)
