"""Admin actions for tasks: cancel, rerun, prune. Each shows a message and writes the admin log."""

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
from .content import TEMPLATES, mask_secrets

logger = logging.getLogger("django_asyncexchange")

MAX_SELECTED = 500
"""Tasks that one action handles, at most: limited by the time of a request and the size of the confirmation form."""
MAX_LINKS = 10
"""New tasks that a message links to, at most."""


@admin.action(description=_("Cancel the selected tasks"), permissions=["change"])
def cancel(site: Any, request: HttpRequest, queryset: QuerySet[AsyncTask]) -> None:
    cancelled, finished = 0, 0
    for task in selected(request, queryset):
        try:
            lifecycle.cancel(task)
        except NotCancellable:
            finished += 1
            continue
        cancelled += 1
        site.log_change(request, mask_secrets(task), gettext("Cancelled."))
    if cancelled:
        text = ngettext("%(count)d task was cancelled.", "%(count)d tasks were cancelled.", cancelled)
        messages.success(request, text % {"count": cancelled})
    if finished:
        text = ngettext("%(count)d task was already finished.", "%(count)d tasks were already finished.", finished)
        messages.warning(request, text % {"count": finished})


@admin.action(description=_("Rerun the selected tasks"), permissions=["change"])
def rerun(site: Any, request: HttpRequest, queryset: QuerySet[AsyncTask]) -> None:
    started: list[AsyncTask] = []
    refusals: Counter[str] = Counter()
    for task in reversed(selected(request, queryset)):  # in the order in which they were submitted
        refusal = rerun_refusal(task)
        try:
            again = None if refusal else submit.rerun(task)
        except AsyncExchangeError as error:
            again, refusal = None, gettext(str(error))
        except Exception:
            logger.exception("task %s could not be rerun", task.pk)
            again, refusal = None, gettext("An unexpected error occurred; see the log.")
        if again is None:
            refusals[refusal] += 1
            continue
        started.append(again)
        site.log_change(request, mask_secrets(task), gettext("Rerun as %(id)s.") % {"id": again.pk})
    if started:
        text = ngettext("{count} task was rerun: {links}", "{count} tasks were rerun: {links}", len(started))
        messages.success(request, format_html(text, count=len(started), links=links(site, started)))
    for refusal, count in refusals.items():
        text = ngettext("%(count)d task was not rerun: %(why)s", "%(count)d tasks were not rerun: %(why)s", count)
        messages.error(request, text % {"count": count, "why": refusal})


@admin.action(description=_("Prune the selected tasks"), permissions=["prune"])
def prune(site: Any, request: HttpRequest, queryset: QuerySet[AsyncTask]) -> TemplateResponse | None:
    tasks = selected(request, queryset)
    final = [mask_secrets(task) for task in tasks if State(task.state).is_final]
    if final and "confirmed" not in request.POST:
        return confirmation(site, request, final)
    pruning.delete_finished(final)
    left = set(AsyncTask.objects.filter(pk__in=[task.pk for task in final]).values_list("pk", flat=True))
    gone = [task for task in final if task.pk not in left]
    if gone:
        site.log_deletions(request, gone)
        text = ngettext("%(count)d task was pruned.", "%(count)d tasks were pruned.", len(gone))
        messages.success(request, text % {"count": len(gone)})
    if running := len(tasks) - len(final):
        text = ngettext(
            "%(count)d unfinished task was not pruned.", "%(count)d unfinished tasks were not pruned.", running
        )
        messages.warning(request, text % {"count": running})
    if left:
        text = ngettext(
            "%(count)d task was not pruned: a stored body could not be deleted.",
            "%(count)d tasks were not pruned: a stored body could not be deleted.",
            len(left),
        )
        messages.error(request, text % {"count": len(left)})
    return None


def selected(request: HttpRequest, queryset: QuerySet[AsyncTask]) -> list[AsyncTask]:
    """Return the selected tasks, newest first; none, with an error message, if they are too many."""
    tasks = list(queryset.defer(None)[: MAX_SELECTED + 1])
    if len(tasks) <= MAX_SELECTED:
        return tasks
    text = gettext("No action was taken: select at most %(limit)d tasks at a time. Use the filters to narrow the list.")
    messages.error(request, text % {"limit": MAX_SELECTED})
    return []


def rerun_refusal(task: AsyncTask) -> str:
    """Why ``task`` cannot be rerun; ``""`` if it can."""
    if not State(task.state).is_final:
        return gettext("The task is not finished yet.")
    if conf.mounted(task.dialect) is None:
        return gettext("The dialect is no longer mounted.")
    try:
        has_body = header(task.captured.headers, "Content-Type")
    except RequestErased as error:
        return gettext(str(error))
    # A call with a Content-Type had a body; without it the rerun would be a different call.
    expired = task.snapshot().is_expired(task.now) and has_body
    if expired and not task.bodies.filter(kind=Body.REQUEST).exists():
        return gettext("The request body has been deleted.")
    return ""


def links(site: Any, tasks: list[AsyncTask]) -> str:
    name = f"{site.admin_site.name}:{site.opts.app_label}_{site.opts.model_name}_change"
    shown = format_html_join(
        ", ", '<a href="{}">{}</a>', ((reverse(name, args=[task.pk]), task.pk) for task in tasks[:MAX_LINKS])
    )
    return format_html("{}, …", shown) if len(tasks) > MAX_LINKS else shown


def confirmation(site: Any, request: HttpRequest, tasks: list[AsyncTask]) -> TemplateResponse:
    """The confirmation page before anything is deleted."""
    context = {
        **site.admin_site.each_context(request),
        "title": gettext("Are you sure?"),
        "tasks": tasks,
        "opts": site.opts,
        "media": site.media,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, f"{TEMPLATES}/prune.html", context)
