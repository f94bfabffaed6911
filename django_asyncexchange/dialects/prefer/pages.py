"""The default dialect's pages for people: a task without a result, and the list.

Their links have no scheme and host, which a server behind a proxy may not know.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...protocol.states import Reason, State
from ...protocol.values import Context, Html, Page, Snapshot
from ..base import Dialect
from ..base import gettext_noop as _
from .documents import document_of, links_of, page_document

STATES: Mapping[State, str] = {
    State.PENDING: _("Waiting"),
    State.PROCESSING: _("Running"),
    State.DONE: _("Done"),
    State.API_ERROR: _("Failed"),
    State.ERROR: _("Failed"),
    State.CANCEL: _("Cancelled"),
}
REASONS: Mapping[Reason | None, str] = {
    Reason.RUN_TIMEOUT: _("It ran for too long."),
    Reason.LOST: _("Its worker stopped unexpectedly."),
    Reason.QUEUE_TIMEOUT: _("It waited for too long and did not start."),
    Reason.STORAGE: _("Its response could not be stored."),
}


def of_task(dialect: Dialect, task: Snapshot, context: Context) -> Html:
    """The page of a task that has no result (yet)."""
    texts: list[str] = []
    if task.state.is_final and (error := dialect.result_error(task, context.now)):
        texts = [dialect.wording(error, context)]
        if task.reason in REASONS:
            texts.append(context.translate(REASONS[task.reason]))
    links = {"list": f"{context.path}/{dialect.ROUTES['list'].path}"} if "list" in dialect.ROUTES else {}
    return Html(
        template="asyncexchange/task.html",
        context={"task": _entry(dialect, task, context), "texts": texts, "links": links},
    )


def of_list(dialect: Dialect, page: Page, context: Context) -> Html:
    """One page of the list."""
    results = [_entry(dialect, task, context) for task in page.rows]
    document = page_document(page, results, f"{context.path}/{dialect.ROUTES['list'].path}")
    return Html(template="asyncexchange/tasks.html", context=document)


def _entry(dialect: Dialect, task: Snapshot, context: Context) -> dict[str, object]:
    """The status document with dates as such, ``state_text`` for people, and ``links.cancel`` for a form."""
    links = links_of(task, context.path, context.now)
    links.pop("cancel", None)
    if not task.state.is_final and "cancel_form" in dialect.ROUTES:
        links["cancel"] = dialect.url_of("cancel_form", task, context.path)
    return {
        **document_of(task, context.path, context.now),
        **{name: getattr(task, name) for name in ("created", "started", "finished", "deletion_date")},
        "links": links,
        "state_text": context.translate(STATES[task.state]),
        "is_finished": task.state.is_final,
    }
