"""What the endpoints of a dialect respond with, rendered by the dialect itself."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..dialects.base import NO_STORE, Dialect, Subscriptions, json_response, signed_links
from ..exceptions import AsyncExchangeError, CallbackRefused, NotAdministrator, RouteNotFound, SubscriptionNotFound
from ..protocol import server_events
from ..protocol.states import State
from ..protocol.values import Context, Headers, Html, Page, Replay, Response, Snapshot, Subscription, header, value
from . import samples

Answer = Response | Replay | Html
DOCUMENTS = {"accepted": "task", "status": "task", "change": "task", "monitor": "operation", "list": "tasks"}
"""Verb → its document, where several have the same one."""
WEBHOOK_DOCUMENTS = {
    **dict.fromkeys(("create", "retrieve", "change", "rotate", "write"), "webhook"),
    **dict.fromkeys(("callback_secret", "rotate_callback_secret"), "callback_secret"),
    "list": "webhooks",
}


@value
class Example:
    """One response of an endpoint."""

    name: str
    text: str
    """What it tells."""
    document: str
    """The name of its document: responses with the same one have the same schema."""
    status: int
    headers: Headers
    media_type: str
    """``""`` without a body."""
    body: bytes
    is_replay: bool = False
    """Whether it is the response of the call, of which nothing is known here."""


def of_task(dialect: Dialect, route: str) -> Iterator[Example]:
    """The responses of the route of ``Dialect.ROUTES``."""
    verb = dialect.ROUTES[route].verb or route
    tasks = samples.tasks(dialect)
    chosen = {"cancel": ["cancelled"], "cancel_form": ["cancelled"], "remove": ["cancelled"], "change": ["done"]}
    if verb == "list":
        for page in ("only", "first", "middle", "last"):
            yield from _rendered(f"{page}_page", _listed(dialect, page), dialect, DOCUMENTS[verb])
    else:
        for name in chosen.get(verb, tasks):
            work, document = _work(dialect, verb, tasks[name]), DOCUMENTS.get(verb, verb)
            yield from _rendered(name, work, dialect, document, tasks[name].state)
    specific = samples.OF_VERBS.get(verb, ())
    is_public = dialect.ROUTES[route].public
    general = samples.EVERYWHERE if is_public else (*samples.OF_CALLERS, *samples.EVERYWHERE)
    unsafe = () if dialect.ROUTES[route].method == "GET" else samples.OF_UNSAFE_METHODS
    of_tasks = samples.OF_TASKS if "{id}" in dialect.ROUTES[route].path and not is_public else ()
    yield from errors((*specific, *of_tasks, *general, *unsafe), dialect)


def of_webhook(dialect: Dialect, resource: Subscriptions, verb: str) -> Iterator[Example]:
    """The responses of the route of ``Dialect.SUBSCRIPTIONS``."""
    document = WEBHOOK_DOCUMENTS.get(verb, f"webhook_{verb}")
    for name, work in _webhook_works(dialect, resource, verb, document == "webhook"):
        of_several = f"{verb}_several" if name == "several" else document
        yield from _rendered(name, work, dialect, of_several)
    unsafe = () if resource.ROUTES[verb].method == "GET" else samples.OF_UNSAFE_METHODS
    missing = (SubscriptionNotFound(),) if "{id}" in resource.ROUTES[verb].path else ()
    general = (*missing, NotAdministrator(), *samples.OF_CALLERS, *samples.EVERYWHERE, *unsafe)
    yield from errors((*samples.OF_WEBHOOKS.get(verb, ()), *general), dialect)


def of_call(dialect: Dialect) -> Iterator[Example]:
    """The responses to an accepted call, and to one that is refused because it is to be answered later."""
    waiting = samples.task(dialect)
    document = DOCUMENTS["accepted"]
    yield from _rendered("pending", lambda context: dialect.accepted(waiting, context), dialect, document)
    yield from errors(samples.OF_CALLS if dialect.OPTIONAL else samples.OF_CLAIMED_CALLS, dialect)
    if dialect.CALLBACK and not dialect.OPTIONAL:
        for given in dialect.PARAMETERS.get("submit", ()):
            yield from errors([CallbackRefused(field=given.name)], dialect, "callback_error")


def of_addresses(dialect: Dialect) -> Iterator[Example]:
    """The response to an address that has none of the path's parameters."""
    yield from errors([RouteNotFound()], dialect)


def errors(raised: Iterable[AsyncExchangeError], dialect: Dialect, document: str = "error") -> Iterator[Example]:
    for error in raised:
        yield from _rendered(_key_of(error), _raising(error), dialect, document)


def _raising(error: AsyncExchangeError) -> Callable[[Context], Answer]:
    def work(context: Context) -> Answer:
        raise error

    return work


def _key_of(error: AsyncExchangeError) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__).lower()


def _rendered(
    name: str, work: Callable[[Context], Answer], dialect: Dialect, document: str, state: State | None = None
) -> Iterator[Example]:
    """What ``work`` renders for clients of each media type, without repetitions."""
    seen: set[tuple[int, str, bytes]] = set()
    for context in samples.contexts(dialect, state):
        try:
            made = _example(name, name.replace("_", " "), document, work(context))
        except AsyncExchangeError as error:
            of_error = document if document == "callback_error" else "error"
            made = _example(_key_of(error), dialect.wording(error, context), of_error, dialect.problem(error, context))
        key = made.status, made.media_type, made.body
        if key not in seen:
            seen.add(key)
            yield made


def _example(name: str, text: str, document: str, answer: Answer) -> Example:
    if isinstance(answer, Html):
        answer = Response(status=200, headers=(("Content-Type", "text/html"),), body=b"<!doctype html>")
    if isinstance(answer, Replay):
        status, media_type, body, is_replay = answer.status or 200, "*/*", b"", True
    else:
        media_type = (header(answer.headers, "Content-Type") or "").partition(";")[0] if answer.body else ""
        status, body, is_replay = answer.status, answer.body, False
    return Example(
        name=name,
        text=text,
        document=document,
        status=status,
        headers=answer.headers,
        media_type=media_type,
        body=body,
        is_replay=is_replay,
    )


def _work(dialect: Dialect, verb: str, task: Snapshot) -> Callable[[Context], Answer]:
    """As ``endpoints.tasks.TaskView`` responds to ``verb`` for ``task``."""

    def work(context: Context) -> Answer:
        if verb in ("cancel", "cancel_form", "remove"):
            return dialect.cancelled(task, context)
        if verb == "change":
            return dialect.changed(task, context)
        if verb == "events":
            body = server_events.encode(dialect.events(task, context, ""))
            return Response(status=200, headers=(("Content-Type", "text/event-stream"), *NO_STORE), body=body)
        if verb == "download":
            expires = int(context.now.timestamp()) + 60
            query = dict(urllib.parse.parse_qsl(signed_links.query_of(task, expires, context.signer)))
            return dialect.download(task, context, query)
        answer: Answer = getattr(dialect, verb)(dataclasses.replace(task, **_content(dialect, verb, task)), context)
        return answer

    return work


def _content(dialect: Dialect, verb: str, task: Snapshot) -> dict[str, Any]:
    """The stored body is given only to documents that need it."""
    return {} if dialect.reads(verb, task.state) else {"content": None}


def _listed(dialect: Dialect, place: str) -> Callable[[Context], Answer]:
    tasks = samples.tasks(dialect).values()
    rows = tuple(dataclasses.replace(task, **_content(dialect, "list", task)) for task in tasks)
    limit, size = len(rows), len(rows) if place == "only" else 3 * len(rows)
    offset = {"middle": limit, "last": 2 * limit}.get(place, 0)

    def work(context: Context) -> Answer:
        listing = dataclasses.replace(dialect.listing(""), limit=limit, offset=offset)
        return dialect.page(Page(rows=rows, size=size, listing=listing), context)

    return work


def _webhook_works(
    dialect: Dialect, resource: Subscriptions, verb: str, has_webhook: bool
) -> Iterator[tuple[str, Callable[[Context], Answer]]]:
    """The name of an example, and how it is rendered."""
    known = samples.subscriptions()
    if verb == "list":
        for name, query in samples.PAGES.items():
            yield name, functools.partial(resource.page, list(known.values()), query)
    elif verb != "remove_many":
        for name, one in known.items() if has_webhook else [("webhook", samples.subscription())]:
            yield name, functools.partial(_webhook, resource, verb, one)
    if verb in ("write", "remove_many"):
        yield "several", functools.partial(_several, dialect, resource, verb)


def _several(dialect: Dialect, resource: Subscriptions, verb: str, context: Context) -> Response:
    """To a request for several webhooks: each is done, or refused by an error of its own."""
    known = samples.subscription()
    is_removal = verb == "remove_many"
    done = resource.deleted_document(str(known.id), context) if is_removal else resource.document(known, context)
    refused = json.loads(dialect.problem(SubscriptionNotFound(), context).body)
    return json_response([done, refused])


def _webhook(resource: Subscriptions, verb: str, known: Subscription, context: Context) -> Response:
    """As ``endpoints.webhooks.WebhookView`` responds to ``verb``."""
    secret = dataclasses.replace(known, secret=samples.SECRET)
    if verb == "create":
        location = ("Location", f"{context.base}/{resource.ROUTES['list'].path}/{known.id}")
        return json_response(resource.document(secret, context), status=201, headers=(location,))
    if verb == "remove":
        return Response(status=resource.REMOVED, headers=NO_STORE)
    if verb == "deliveries":
        return json_response({"results": [samples.delivery()]})
    if verb == "resend":
        return json_response({"resent": 1}, status=202)
    if verb in ("callback_secret", "rotate_callback_secret"):
        return json_response({"secret": samples.SECRET})
    return json_response(resource.document(secret if verb == "rotate" else known, context))
