"""What may be done with the tasks chosen in the list. Every outcome is a message, and is noted in the admin's log."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..exceptions import AsyncExchangeError, NotCancellable, RequestErased
from ..models import AsyncTask, Body
from ..protocol.states import State
from ..protocol.values import header
from ..tasks import lifecycle, pruning, submit
from .content import TEMPLATES, without_secrets

logger = logging.getLogger("django_asyncexchange")

AT_ONCE = 500
"""How many tasks one action takes: what one request has time for, and a confirmation can carry in its form."""
LINKS = 10
"""How many new tasks a message links to."""


@admin.action(description=_("Cancel the selected tasks"), permissions=["change"])
def cancel(site: Any, request: HttpRequest, queryset: QuerySet[AsyncTask]) -> None:
    cancelled, finished = 0, 0
    for task in chosen(request, queryset):
        try:
            lifecycle.cancel(task)
        except NotCancellable:
            finished += 1
            continue
        cancelled += 1
        site.log_change(request, without_secrets(task), gettext("Cancelled."))
    if cancelled:
        text = ngettext("%(count)d task was cancelled.", "%(count)d tasks were cancelled.", cancelled)
        messages.success(request, text % {"count": cancelled})
    if finished:
        text = ngettext("%(count)d task was already finished.", "%(count)d tasks were already finished.", finished)
        messages.warning(request, text % {"count": finished})


@admin.action(description=_("Run the selected tasks again"), permissions=["change"])
def rerun(site: Any, request: HttpRequest, queryset: QuerySet[AsyncTask]) -> None:
    started: list[AsyncTask] = []
    refusals: Counter[str] = Counter()
    for task in reversed(chosen(request, queryset)):  # in the order in which they were submitted
        refusal = obstacle(task)
        try:
            again = None if refusal else submit.rerun(task)
        except AsyncExchangeError as error:
            again, refusal = None, gettext(str(error))
        except Exception:
            logger.exception("task %s could not be run again", task.pk)
            again, refusal = None, gettext("It failed; the log says why.")
        if again is None:
            refusals[refusal] += 1
            continue
        started.append(again)
        site.log_change(request, without_secrets(task), gettext("Run again as %(id)s.") % {"id": again.pk})
    if started:
        text = ngettext(
            "{count} task was started again: {links}", "{count} tasks were started again: {links}", len(started)
        )
        messages.success(request, format_html(text, count=len(started), links=links(site, started)))
    for refusal, count in refusals.items():
        text = ngettext(
            "%(count)d task was not started again: %(why)s", "%(count)d tasks were not started again: %(why)s", count
        )
        messages.error(request, text % {"count": count, "why": refusal})


@admin.action(description=_("Prune the selected tasks"), permissions=["prune"])
def prune(site: Any, request: HttpRequest, queryset: QuerySet[AsyncTask]) -> TemplateResponse | None:
    tasks = chosen(request, queryset)
    final = [without_secrets(task) for task in tasks if State(task.state).is_final]
    if final and "confirmed" not in request.POST:
        return confirmation(site, request, final)
    pruning.forget(final)
    left = set(AsyncTask.objects.filter(pk__in=[task.pk for task in final]).values_list("pk", flat=True))
    gone = [task for task in final if task.pk not in left]
    if gone:
        site.log_deletions(request, gone)
        text = ngettext("%(count)d task was pruned.", "%(count)d tasks were pruned.", len(gone))
        messages.success(request, text % {"count": len(gone)})
    if running := len(tasks) - len(final):
        text = ngettext(
            "%(count)d task is not finished and was kept.", "%(count)d tasks are not finished and were kept.", running
        )
        messages.warning(request, text % {"count": running})
    if left:
        text = ngettext(
            "%(count)d task was kept: a stored body could not be deleted.",
            "%(count)d tasks were kept: a stored body could not be deleted.",
            len(left),
        )
        messages.error(request, text % {"count": len(left)})
    return None


def chosen(request: HttpRequest, queryset: QuerySet[AsyncTask]) -> list[AsyncTask]:
    """The chosen tasks, newest first; none, with a message, where they are too many for one request."""
    tasks = list(queryset.defer(None)[: AT_ONCE + 1])
    if len(tasks) <= AT_ONCE:
        return tasks
    text = gettext("Nothing was done: at most %(limit)d tasks can be chosen at once. Narrow the list by its filters.")
    messages.error(request, text % {"limit": AT_ONCE})
    return []


def obstacle(task: AsyncTask) -> str:
    """Why ``task`` cannot be run again; ``""`` where nothing is known that hinders it."""
    if not State(task.state).is_final:
        return gettext("It is not finished yet.")
    if conf.mounted(task.dialect) is None:
        return gettext("Its dialect is not mounted any more.")
    try:
        has_body = header(task.captured.headers, "Content-Type")
    except RequestErased as error:
        return gettext(str(error))
    # A call with a content type had a body. Sent again without, it would be another call.
    expired = task.snapshot().is_expired(task.now) and has_body
    if expired and not task.bodies.filter(kind=Body.REQUEST).exists():
        return gettext("Its request body has been deleted.")
    return ""


def links(site: Any, tasks: list[AsyncTask]) -> str:
    name = f"{site.admin_site.name}:{site.opts.app_label}_{site.opts.model_name}_change"
    shown = format_html_join(
        ", ", '<a href="{}">{}</a>', ((reverse(name, args=[task.pk]), task.pk) for task in tasks[:LINKS])
    )
    return format_html("{}, …", shown) if len(tasks) > LINKS else shown


def confirmation(site: Any, request: HttpRequest, tasks: list[AsyncTask]) -> TemplateResponse:
    """The page that asks before anything is deleted."""
    context = {
        **site.admin_site.each_context(request),
        "title": gettext("Are you sure?"),
        "tasks": tasks,
        "opts": site.opts,
        "media": site.media,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, f"{TEMPLATES}/prune.html", context)
