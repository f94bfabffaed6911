"""MoySklad's JSON documents: a task and the list of tasks."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from ...protocol.states import State
from ...protocol.values import Listing, Owner, Page, Snapshot
from .errors import errors_of

NAMESPACE = uuid.UUID("5a1f0c5e-7d3b-5c86-9b1e-3f6f0a2d4c71")
"""Namespace of the UUIDs that stand for ids that are no UUIDs. Changing it changes these ids for clients."""

SUFFIXES = {
    "": "json",
    "application/json": "json",
    "text/csv": "csv",
    "text/plain": "txt",
    "text/html": "html",
    "text/xml": "xml",
    "application/xml": "xml",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
PAGE_FIELDS = frozenset({"limit", "offset", "nextHref", "previousHref"})
"""Fields of a list's ``meta`` that describe one page."""


def identifier(kind: str, reference: str) -> str:
    """``reference`` as a UUID, which this protocol requires: itself, or a stable one derived from it."""
    try:
        known = str(uuid.UUID(reference))
    except ValueError:
        known = ""
    return known if known == reference.lower() and known else str(uuid.uuid5(NAMESPACE, f"{kind}:{reference}"))


def account_id(owner: Owner) -> str:
    return identifier("account", owner.account)


def date(moment: dt.datetime, zone: dt.tzinfo) -> str:
    """Always with three digits of milliseconds, which MoySklad's clients require."""
    return moment.astimezone(zone).replace(tzinfo=None).isoformat(" ", "milliseconds")


def meta(href: str, kind: str, **more: object) -> dict[str, object]:
    return {"href": href, "type": kind, "mediaType": "application/json", **more}


def owner_meta(owner: Owner, base: str, web_app: str) -> dict[str, object]:
    """``uuidHref``, a page of the web application, exists for persons only."""
    key = identifier(owner.kind, owner.id)
    person = {"uuidHref": f"{web_app}/#employee/edit?id={key}"} if owner.kind == "employee" else {}
    kind = f"{base}/entity/{owner.kind}"
    return meta(f"{kind}/{key}", owner.kind, metadataHref=f"{kind}/metadata", **person)


def task_url(task: Snapshot, base: str) -> str:
    return f"{base}/async/{task.id}"


def result_url(task: Snapshot, base: str) -> str:
    return f"{task_url(task, base)}/result"


def task_document(task: Snapshot, *, base: str, zone: dt.tzinfo, web_app: str) -> dict[str, object]:
    """Fields that do not belong to the state are absent, never null or empty: clients test for presence."""
    document: dict[str, object] = {
        "meta": meta(task_url(task, base), "async"),
        "id": str(task.id),
        "accountId": account_id(task.owner),
        "owner": {"meta": owner_meta(task.owner, base, web_app)},
        "state": str(task.state),
        "request": task.url,
    }
    if task.state is State.DONE:
        document["resultUrl"] = result_url(task, base)
        if task.deletion_date is not None:
            document["deletionDate"] = date(task.deletion_date, zone)
    if task.state is State.API_ERROR:
        document["errors"] = errors_of(task)
    return document


def page_document(page: Page, rows: list[dict[str, Any]], base: str) -> dict[str, object]:
    return {**page_meta(page, base, path="async", kind="async"), "rows": rows}


def page_meta(page: Page, base: str, *, path: str, kind: str) -> dict[str, object]:
    """A list's document without its rows; ``path`` is the list's URL below ``base``."""
    listing, address = page.listing, f"{base}/{path}"
    employee = meta(f"{base}/context/employee", "employee", metadataHref=f"{base}/entity/employee/metadata")
    numbers = {"size": page.size, "limit": listing.limit, "offset": listing.offset}
    href = address + (f"?{listing.echo}" if listing.echo else "")
    return {
        "context": {"employee": {"meta": employee}},
        "meta": meta(href, kind, **numbers, **neighbours(page, address)),
    }


def neighbours(page: Page, address: str) -> dict[str, str]:
    """``nextHref`` and ``previousHref``, each only where there is such a page."""
    listing, found = page.listing, {}
    if listing.offset + listing.limit < page.size:
        found["nextHref"] = slice_url(address, listing, listing.offset + listing.limit, listing.limit)
    if listing.offset >= listing.limit:
        found["previousHref"] = slice_url(address, listing, listing.offset - listing.limit, listing.limit)
    elif listing.offset:
        # MoySklad's page before offset 1 with limit 1000 is 0…999; this one has at least all preceding rows.
        limit = max(listing.offset, listing.limit - listing.offset)
        found["previousHref"] = slice_url(address, listing, 0, limit)
    return found


def slice_url(address: str, listing: Listing, offset: int, limit: int) -> str:
    """The URL of another page of the same query."""
    kept = [part for part in listing.echo.split("&") if part and part.partition("=")[0] not in {"limit", "offset"}]
    return f"{address}?" + "&".join([*kept, f"offset={offset}", f"limit={limit}"])


def filename(task: Snapshot) -> str:
    """MoySklad's name for the file, with an extension for its content type."""
    media = task.content_type.partition(";")[0].strip().lower()
    suffix = "json" if media.endswith("+json") else SUFFIXES.get(media, "bin")
    return f"asynctask_{task.id}_result.{suffix}"
