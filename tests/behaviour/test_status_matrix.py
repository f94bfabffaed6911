"""Every cell of every dialect: how a task in a situation is answered at a route.

The tables are requested over HTTP: through URLs, views and middleware. ``tests/dialects`` looks at the same answers
as values.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import include, path

from django_asyncexchange.conf import conf
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import Reason, State

from .. import services
from ..openapi import conformance
from ..services import IDLE, Idle, exchange, soon, stored

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.behaviour.test_status_matrix")]

urlpatterns = [
    path("api/v2/campaigns.json", services.ran),
    path("api/remap/1.2/report", services.ran),
    path("kladana/api/remap/1.2/report", services.ran),
    path("unifiedconfig/config/calltype", services.ran),
    path("generic/buyer/", services.ran),
    path("", include("django_asyncexchange.urls")),
]

# Situations -----------------------------------------------------------------------------------------------------------

JSON, PROBLEM = "application/json", "application/problem+json"

MADE = b'{"id":7}'
REFUSED = b'{"errors":[{"error":"no","code":1016}]}'
RAISED = b"<h1>Server Error (500)</h1>"

STARTED = soon(minutes=-1)
RAN = {"started": STARTED, "finished": STARTED + dt.timedelta(milliseconds=125)}
NEVER_RAN = {"attempt": 0, "started": None}
GONE = {"deletion_date": soon(seconds=-1)}

DONE = {
    "state": State.DONE,
    "status_code": 201,
    "response_headers": [["Content-Type", JSON], ["Location", "/things/7/"], ["X-Own", "kept"]],
    "answer": MADE,
    **RAN,
}
API_ERROR = {
    "state": State.API_ERROR,
    "status_code": 403,
    "response_headers": [["Content-Type", JSON], ["X-Own", "kept"]],
    "answer": REFUSED,
    **RAN,
}
ERROR = {"state": State.ERROR}

SITUATIONS: dict[str, dict[str, Any]] = {
    "pending": {"state": State.PENDING},
    "overdue": {"state": State.PENDING, "created": soon(seconds=-40)},
    "processing": {"state": State.PROCESSING},
    "done": DONE,
    "api error": API_ERROR,
    "raised": {
        **ERROR,
        **RAN,
        "reason": Reason.EXCEPTION,
        "status_code": 500,
        "response_headers": [["Content-Type", "text/html"], ["X-Own", "kept"]],
        "answer": RAISED,
    },
    "lost": {**ERROR, "reason": Reason.LOST},
    "run timeout": {**ERROR, "reason": Reason.RUN_TIMEOUT},
    "queue timeout": {**ERROR, **NEVER_RAN, "reason": Reason.QUEUE_TIMEOUT},
    "storage": {**ERROR, "reason": Reason.STORAGE},
    "cancelled": {"state": State.CANCEL},
    "expired": {**DONE, **GONE},
    "expired api error": {**API_ERROR, **GONE},
    "expired lost": {**ERROR, **GONE, "reason": Reason.LOST},
    "expired cancelled": {"state": State.CANCEL, **GONE},
}
"""What a task can have come to: the fields of its row."""

STRANGE = ("foreign", "unknown", "malformed")
"""An id of somebody else's task, of no task, and no id at all."""

EVERYTHING = (*SITUATIONS, *STRANGE)

# Answers --------------------------------------------------------------------------------------------------------------

ABSENT = "(absent)"
MOSCOW = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
MILLISECONDS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
TEXT = re.compile(r".+")
SECONDS = re.compile("[1-9][0-9]?")


class Answer(NamedTuple):
    """What is asserted of a response; ``{id}`` and ``{base}`` stand for the task's id and the mount's URL."""

    status: int
    headers: dict[str, Any]
    body: Any
    """Bytes: the whole body. A dictionary: the document has these members."""


def own(status: int, body: Any = b"", **headers: Any) -> Answer:
    """An answer of the package itself: never stored by a cache."""
    kind = {} if body == b"" else {"Content-Type": JSON}
    return Answer(status, {"Cache-Control": "no-store", **kind, **names(headers)}, body)


def replay(status: int, body: bytes, content_type: str = JSON, **headers: Any) -> Answer:
    """The view's response: its own headers, and cached by its reader alone."""
    given = {"Cache-Control": "private, no-cache", "Content-Type": content_type, "X-Own": "kept"}
    return Answer(status, {**given, **names(headers)}, body)


def names(headers: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): text for name, text in headers.items()}


def part(expected: Any, actual: Any) -> Any:
    """``actual`` reduced to what ``expected`` names: equal to ``expected`` where all of that matches."""
    if isinstance(expected, re.Pattern):
        return expected if isinstance(actual, str) and expected.fullmatch(actual) else actual
    if isinstance(expected, dict) and isinstance(actual, dict):
        return {name: part(value, actual.get(name, ABSENT)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [part(*pair) for pair in zip(expected, actual, strict=True)]
    return actual


def filled(expected: Any, **places: str) -> Any:
    """``expected`` with its placeholders filled in."""
    if isinstance(expected, str):
        for name, text in places.items():
            expected = expected.replace(f"{{{name}}}", text)
        return expected
    if isinstance(expected, dict):
        return {name: filled(value, **places) for name, value in expected.items()}
    return [filled(value, **places) for value in expected] if isinstance(expected, list) else expected


def seen(response: Any, expected: Answer) -> Answer:
    """``response`` reduced to what ``expected`` names."""
    headers = {name: part(value, response.headers.get(name, ABSENT)) for name, value in expected.headers.items()}
    content = b"".join(response) if response.streaming else response.content
    body = content if isinstance(expected.body, bytes) else part(expected.body, json.loads(content))
    return Answer(response.status_code, headers, body)


# Target@Mail.Ru -------------------------------------------------------------------------------------------------------


def record(status: str, **more: Any) -> dict[str, Any]:
    none = dict.fromkeys(("started", "response_http_code", "response_url", "exec_time"), ABSENT)
    return {**none, "id": "{id}", "status": status, "created": MOSCOW, **more}


def answered(code: int) -> Answer:
    url = "/async_api/v2/responses/{id}.json"
    more = {"started": MOSCOW, "exec_time": 125, "response_http_code": code, "response_url": url}
    return own(303, record("done", **more), Location=url)


NO_CAMPAIGN = own(404, {"error": TEXT, "code": "not_found"})
NO_RESPONSE = own(404, {"error": TEXT, "code": "not_found"})
UNKNOWN = own(404, {"error": TEXT, "code": "unknown"})

MAILRU = {
    "status": {
        "pending": own(200, record("enqueued"), Location=ABSENT),
        "overdue": own(200, record("enqueued")),
        "processing": own(200, record("started", started=MOSCOW), Location=ABSENT),
        "done": answered(201),
        "api error": answered(403),
        "raised": answered(500),
        "lost": own(200, record("unknown", started=MOSCOW), Location=ABSENT),
        "run timeout": own(200, record("unknown", started=MOSCOW)),
        "queue timeout": own(200, record("unknown")),
        "storage": own(200, record("unknown", started=MOSCOW)),
        "cancelled": own(200, record("cancelled")),
        "expired": NO_CAMPAIGN,
        "expired api error": NO_CAMPAIGN,
        "expired lost": NO_CAMPAIGN,
        "expired cancelled": NO_CAMPAIGN,
        "foreign": NO_CAMPAIGN,
        "unknown": NO_CAMPAIGN,
        "malformed": NO_CAMPAIGN,
    },
    "result": {
        "pending": own(404, {"error": TEXT, "code": "not_ready"}),
        "overdue": own(404, {"error": TEXT, "code": "not_ready"}),
        "processing": own(404, {"error": TEXT, "code": "not_ready"}),
        "done": replay(201, MADE, Location="/things/7/"),
        "api error": replay(403, REFUSED),
        "raised": replay(500, RAISED, "text/html"),
        "lost": UNKNOWN,
        "run timeout": UNKNOWN,
        "queue timeout": UNKNOWN,
        "storage": UNKNOWN,
        "cancelled": own(410, {"error": TEXT, "code": "cancelled"}),
        "expired": NO_RESPONSE,
        "expired api error": NO_RESPONSE,
        "expired lost": NO_RESPONSE,
        "expired cancelled": NO_RESPONSE,
        "foreign": NO_RESPONSE,
        "unknown": NO_RESPONSE,
        "malformed": NO_RESPONSE,
    },
}

# MoySklad and Kladana -------------------------------------------------------------------------------------------------


def remap_task(state: str, **more: Any) -> dict[str, Any]:
    return {
        "meta": {"href": "{base}/async/{id}", "type": "async", "mediaType": JSON},
        "id": "{id}",
        "state": state,
        "request": "http://testserver/ran/?async=true",
        **dict.fromkeys(("resultUrl", "deletionDate", "errors"), ABSENT),
        **more,
    }


def remap_error(status: int, code: int, **headers: Any) -> Answer:
    return own(status, {"errors": [{"error": TEXT, "code": code}]}, **headers)


REMAP_TASKS = {
    "pending": remap_task("PENDING"),
    "overdue": remap_task("PENDING"),
    "processing": remap_task("PROCESSING"),
    "done": remap_task("DONE", resultUrl="{base}/async/{id}/result", deletionDate=MILLISECONDS),
    "api error": remap_task("API_ERROR", errors=[{"error": "no", "code": 1016}]),
    "raised": remap_task("ERROR"),
    "lost": remap_task("ERROR"),
    "run timeout": remap_task("ERROR"),
    "queue timeout": remap_task("ERROR"),
    "storage": remap_task("ERROR"),
    "cancelled": remap_task("CANCEL"),
    "expired": remap_task("DONE", resultUrl="{base}/async/{id}/result", deletionDate=MILLISECONDS),
    "expired api error": remap_task("API_ERROR", errors=[{"error": "no", "code": 1016}]),
    "expired lost": remap_task("ERROR"),
    "expired cancelled": remap_task("CANCEL"),
}


def remap_page(*rows: Any) -> Answer:
    meta = {"href": "{base}/async", "type": "async", "size": len(rows), "limit": 1000, "offset": 0}
    return own(200, {"context": {"employee": {"meta": {"type": "employee"}}}, "meta": meta, "rows": list(rows)})


NO_TASK, NO_ID = remap_error(404, 1021), remap_error(404, 1002)
NOT_READY, FAILED, CANCELLED = remap_error(412, 61006), remap_error(412, 61004), remap_error(412, 61005)
DELETED, FINISHED, BAD_LINK = remap_error(404, 61003), remap_error(412, 61007), remap_error(403, 1016)
LINK = re.compile(
    r"http://testserver/(kladana/)?api/remap/1\.2/async/[0-9a-f-]{36}/download"
    r"\?temp_url_sig=[0-9a-f]+&temp_url_expires=[0-9]+&filename=asynctask_[0-9a-f-]{36}_result\.json"
)

REMAP = {
    "list": {
        **{situation: remap_page(task) for situation, task in REMAP_TASKS.items()},
        "foreign": remap_page(),
        "unknown": remap_page(),
        "malformed": remap_page(),
    },
    "status": {
        **{situation: own(200, task) for situation, task in REMAP_TASKS.items()},
        "foreign": NO_TASK,
        "unknown": NO_TASK,
        "malformed": NO_ID,
    },
    "result": {
        "pending": NOT_READY,
        "overdue": NOT_READY,
        "processing": NOT_READY,
        "done": own(302, Location=LINK),
        "api error": replay(403, REFUSED),
        "raised": FAILED,
        "lost": FAILED,
        "run timeout": FAILED,
        "queue timeout": FAILED,
        "storage": FAILED,
        "cancelled": CANCELLED,
        "expired": DELETED,
        "expired api error": DELETED,
        "expired lost": FAILED,
        "expired cancelled": CANCELLED,
        "foreign": NO_TASK,
        "unknown": NO_TASK,
        "malformed": NO_ID,
    },
    "cancel": {
        "pending": own(204),
        "overdue": own(204),
        "processing": own(204),
        "done": FINISHED,
        "api error": FINISHED,
        "raised": FINISHED,
        "lost": FINISHED,
        "run timeout": FINISHED,
        "queue timeout": FINISHED,
        "storage": FINISHED,
        "cancelled": FINISHED,
        "expired": FINISHED,
        "expired api error": FINISHED,
        "expired lost": FINISHED,
        "expired cancelled": FINISHED,
        "foreign": NO_TASK,
        "unknown": NO_TASK,
        "malformed": NO_ID,
    },
    # Each URL has a valid signature; for "foreign" it grants access to the file.
    "download": {
        "pending": BAD_LINK,
        "overdue": BAD_LINK,
        "processing": BAD_LINK,
        "done": replay(
            200,
            MADE,
            Cache_Control="no-store",
            Content_Disposition='attachment; filename="asynctask_{id}_result.json"',
            Location=ABSENT,
        ),
        "api error": BAD_LINK,
        "raised": BAD_LINK,
        "lost": BAD_LINK,
        "run timeout": BAD_LINK,
        "queue timeout": BAD_LINK,
        "storage": BAD_LINK,
        "cancelled": BAD_LINK,
        "expired": DELETED,
        "expired api error": BAD_LINK,
        "expired lost": BAD_LINK,
        "expired cancelled": BAD_LINK,
        "foreign": replay(200, MADE, Cache_Control="no-store"),
        "unknown": BAD_LINK,
        "malformed": BAD_LINK,
    },
}

# Cisco ----------------------------------------------------------------------------------------------------------------


def progress(word: str) -> Answer:
    return own(
        202, {"progress": word}, Location="{base}/asyncrequeststatus/{id}", Retry_After=re.compile("[1-9][0-9]?")
    )


def api_error(status: int, kind: str, **headers: Any) -> Answer:
    return own(status, {"apiError": [{"errorData": "", "errorMessage": TEXT, "errorType": kind}]}, **headers)


TIMED_OUT = api_error(503, "asyncRequest.timedOut", Retry_After=ABSENT, Location=ABSENT)
LOST, NOT_FOUND = api_error(500, "asyncRequest.lost"), api_error(404, "asyncRequest.notFound")

CISCO = {
    "status": {
        "pending": progress("IN_QUEUE"),
        "overdue": TIMED_OUT,
        "processing": progress("IN_PROGRESS"),
        "done": replay(201, MADE, Location="/things/7/"),
        "api error": replay(403, REFUSED),
        "raised": replay(500, RAISED, "text/html"),
        "lost": LOST,
        "run timeout": TIMED_OUT,
        "queue timeout": TIMED_OUT,
        "storage": LOST,
        "cancelled": api_error(410, "asyncRequest.cancelled"),
        "expired": NOT_FOUND,
        "expired api error": NOT_FOUND,
        "expired lost": NOT_FOUND,
        "expired cancelled": NOT_FOUND,
        "foreign": NOT_FOUND,
        "unknown": NOT_FOUND,
        "malformed": NOT_FOUND,
    },
}

CISCO_XML = {
    "pending": ("asyncResult", "progress", "IN_QUEUE"),
    "overdue": ("apiErrors", "apiError/errorType", "asyncRequest.timedOut"),
    "processing": ("asyncResult", "progress", "IN_PROGRESS"),
    "lost": ("apiErrors", "apiError/errorType", "asyncRequest.lost"),
    "run timeout": ("apiErrors", "apiError/errorType", "asyncRequest.timedOut"),
    "queue timeout": ("apiErrors", "apiError/errorType", "asyncRequest.timedOut"),
    "storage": ("apiErrors", "apiError/errorType", "asyncRequest.lost"),
    "cancelled": ("apiErrors", "apiError/errorType", "asyncRequest.cancelled"),
    "expired": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
    "expired api error": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
    "expired lost": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
    "expired cancelled": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
    "foreign": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
    "unknown": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
    "malformed": ("apiErrors", "apiError/errorType", "asyncRequest.notFound"),
}
"""What a client that prefers XML gets: the root, and the text of the element that decides. A view's answer stays."""

# Solitude -------------------------------------------------------------------------------------------------------------


def envelope(run: bool, status_code: int, content: Any) -> Answer:
    path = "/delay/result/{id}/"
    return own(200, {"id": "{id}", "run": run, "status_code": status_code, "content": content, "resource_uri": path})


NOT_YET = own(404, Solitude_Async="no")
FAILED_RUN = envelope(True, 500, TEXT)
FAILED_REPLAY = own(500, {"error": "failed", "error_message": TEXT}, Solitude_Async="yes")

SOLITUDE = {
    "result": {
        "pending": NOT_YET,
        "overdue": NOT_YET,
        "processing": NOT_YET,
        "done": envelope(True, 201, MADE.decode()),
        "api error": envelope(True, 403, REFUSED.decode()),
        "raised": envelope(True, 500, RAISED.decode()),
        "lost": FAILED_RUN,
        "run timeout": FAILED_RUN,
        "queue timeout": FAILED_RUN,
        "storage": FAILED_RUN,
        "cancelled": envelope(False, 410, TEXT),
        "expired": NOT_YET,
        "expired api error": NOT_YET,
        "expired lost": NOT_YET,
        "expired cancelled": NOT_YET,
        "foreign": NOT_YET,
        "unknown": NOT_YET,
        "malformed": NOT_YET,
    },
    "replay": {
        "pending": NOT_YET,
        "overdue": NOT_YET,
        "processing": NOT_YET,
        "done": replay(201, MADE, Solitude_Async="yes", Location="/things/7/"),
        "api error": replay(403, REFUSED, Solitude_Async="yes"),
        "raised": replay(500, RAISED, "text/html", Solitude_Async="yes"),
        "lost": FAILED_REPLAY,
        "run timeout": FAILED_REPLAY,
        "queue timeout": FAILED_REPLAY,
        "storage": FAILED_REPLAY,
        "cancelled": own(410, {"error": "cancelled", "error_message": TEXT}, Solitude_Async="no"),
        "expired": NOT_YET,
        "expired api error": NOT_YET,
        "expired lost": NOT_YET,
        "expired cancelled": NOT_YET,
        "foreign": NOT_YET,
        "unknown": NOT_YET,
        "malformed": NOT_YET,
    },
}

# prefer ---------------------------------------------------------------------------------------------------------------


def document(state: str, link: str, **more: Any) -> dict[str, Any]:
    """The status document; ``link`` is the one link besides those that every task has."""
    links = {"self": "{base}/tasks/{id}", "operation": "{base}/operations/{id}", "cancel": ABSENT, "result": ABSENT}
    addresses = {"cancel": "{base}/tasks/{id}", "result": "{base}/tasks/{id}/result"}
    given = {"id": "{id}", "state": state, "method": "GET", "request": "http://testserver/ran/?async=true"}
    return {
        **given,
        "reason": None,
        "created": RFC3339,
        "finished": RFC3339 if State(state).is_final else None,
        "links": {**links, link: addresses.get(link, ABSENT)},
        **more,
    }


PREFER_DOCUMENTS = {
    "pending": document("PENDING", "cancel", started=None, deletion_date=None),
    "overdue": document("PENDING", "cancel"),
    "processing": document("PROCESSING", "cancel", started=RFC3339),
    "done": document("DONE", "result", deletion_date=RFC3339),
    "api error": document("API_ERROR", "result"),
    "raised": document("ERROR", "result", reason="exception"),
    "lost": document("ERROR", "cancel", reason="lost", links={"cancel": ABSENT, "result": ABSENT}),
    "run timeout": document("ERROR", "", reason="run_timeout"),
    "queue timeout": document("ERROR", "", reason="queue_timeout", started=None),
    "storage": document("ERROR", "", reason="storage"),
    "cancelled": document("CANCEL", ""),
    "expired": document("DONE", ""),
    "expired api error": document("API_ERROR", ""),
    "expired lost": document("ERROR", "", reason="lost"),
    "expired cancelled": document("CANCEL", ""),
}


def problem(status: int, code: str, **headers: Any) -> Answer:
    body = {"type": "about:blank", "title": TEXT, "status": status, "detail": TEXT, "code": code}
    return own(status, body, Content_Type=PROBLEM, **headers)


def monitor(status: str, **more: Any) -> Answer:
    is_final = status not in ("NotStarted", "Running")
    given = {"id": "{id}", "status": status, "createdDateTime": RFC3339, "lastActionDateTime": RFC3339}
    has_result = "resourceLocation" in more
    none = dict.fromkeys(("percentComplete", "resourceLocation", "downloadLocation", "error"), ABSENT)
    more |= {"downloadLocation": DOWNLOAD} if has_result else {}
    return own(200, {**given, **none, **more}, Retry_After=ABSENT if is_final else SECONDS)


def prefer_page(*rows: Any) -> Answer:
    return own(200, {"count": len(rows), "next": None, "previous": None, "results": list(rows)})


RESULT = "{base}/tasks/{id}/result"
DOWNLOAD = re.compile(
    r"http://testserver/async/tasks/[0-9a-f-]{36}/download\?temp_url_sig=[0-9a-f]{64}&temp_url_expires=[0-9]+"
)
NOTHING, CONFLICT, OVER = problem(404, "not_found"), problem(409, "finished"), problem(410, "expired")
WAITING = problem(404, "not_ready", Retry_After=SECONDS, AsyncResult=ABSENT)

SAFE = {"Cache_Control": "no-store", "Content_Security_Policy": "sandbox", "Content_Disposition": "attachment"}
LINK_INVALID = problem(403, "invalid_link")

CANCELS = {
    "pending": own(204),
    "overdue": own(204),
    "processing": own(204),
    "done": CONFLICT,
    "api error": CONFLICT,
    "raised": CONFLICT,
    "lost": CONFLICT,
    "run timeout": CONFLICT,
    "queue timeout": CONFLICT,
    "storage": CONFLICT,
    "cancelled": own(204),
    "expired": CONFLICT,
    "expired api error": CONFLICT,
    "expired lost": CONFLICT,
    "expired cancelled": own(204),
    "foreign": NOTHING,
    "unknown": NOTHING,
    "malformed": NOTHING,
}

DELETES = {situation: own(204) if answer == CONFLICT else answer for situation, answer in CANCELS.items()}
"""Of a finished task it deletes the result."""

PREFER = {
    "list": {
        **{situation: prefer_page(row) for situation, row in PREFER_DOCUMENTS.items()},
        "foreign": prefer_page(),
        "unknown": prefer_page(),
        "malformed": prefer_page(),
    },
    "status": {
        **{situation: own(303, row, Location=RESULT) for situation, row in PREFER_DOCUMENTS.items()},
        **{
            situation: own(202, PREFER_DOCUMENTS[situation], Location="{base}/tasks/{id}", Retry_After=SECONDS)
            for situation in ("pending", "overdue", "processing")
        },
        "foreign": NOTHING,
        "unknown": NOTHING,
        "malformed": NOTHING,
    },
    "monitor": {
        "pending": monitor("NotStarted"),
        "overdue": monitor("NotStarted"),
        "processing": monitor("Running"),
        "done": monitor("Succeeded", percentComplete=100, resourceLocation=RESULT),
        "api error": monitor("Failed", error={"code": "http_403", "message": TEXT}, resourceLocation=RESULT),
        "raised": monitor("Failed", error={"code": "http_500", "message": TEXT}, resourceLocation=RESULT),
        "lost": monitor("Failed", error={"code": "lost", "message": TEXT}),
        "run timeout": monitor("Failed", error={"code": "run_timeout", "message": TEXT}),
        "queue timeout": monitor("Failed", error={"code": "queue_timeout", "message": TEXT}),
        "storage": monitor("Failed", error={"code": "storage", "message": TEXT}),
        "cancelled": monitor("Canceled"),
        "expired": monitor("Succeeded", percentComplete=100),
        "expired api error": monitor("Failed", error={"code": "http_403", "message": TEXT}),
        "expired lost": monitor("Failed", error={"code": "lost", "message": TEXT}),
        "expired cancelled": monitor("Canceled"),
        "foreign": NOTHING,
        "unknown": NOTHING,
        "malformed": NOTHING,
    },
    "result": {
        "pending": WAITING,
        "overdue": WAITING,
        "processing": WAITING,
        "done": replay(201, MADE, AsyncResult="201", Sunset=HTTP_DATE, Location="/things/7/"),
        "api error": replay(403, REFUSED, AsyncResult="403", Sunset=HTTP_DATE),
        "raised": replay(500, RAISED, "text/html", AsyncResult="500"),
        "lost": problem(500, "failed", AsyncResult=ABSENT),
        "run timeout": problem(500, "failed"),
        "queue timeout": problem(500, "failed"),
        "storage": problem(500, "failed"),
        "cancelled": problem(410, "cancelled"),
        "expired": OVER,
        "expired api error": OVER,
        "expired lost": OVER,
        "expired cancelled": problem(410, "cancelled"),
        "foreign": NOTHING,
        "unknown": NOTHING,
        "malformed": NOTHING,
    },
    "events": {  # a WSGI server streams none
        **dict.fromkeys(PREFER_DOCUMENTS, problem(501, "no_events", Link='<{base}/tasks/{id}>; rel="alternate"')),
        "foreign": NOTHING,
        "unknown": NOTHING,
        "malformed": NOTHING,
    },
    # Each URL has a valid signature; for "foreign" it grants access to the file.
    "download": {
        "pending": WAITING,
        "overdue": WAITING,
        "processing": WAITING,
        "done": replay(200, MADE, **SAFE, AsyncResult="201", Location=ABSENT),
        "api error": replay(403, REFUSED, **SAFE, AsyncResult="403"),
        "raised": replay(500, RAISED, "text/html", **SAFE, AsyncResult="500"),
        "lost": problem(500, "failed", AsyncResult=ABSENT),
        "run timeout": problem(500, "failed"),
        "queue timeout": problem(500, "failed"),
        "storage": problem(500, "failed"),
        "cancelled": problem(410, "cancelled"),
        "expired": OVER,
        "expired api error": OVER,
        "expired lost": OVER,
        "expired cancelled": problem(410, "cancelled"),
        "foreign": replay(200, MADE, **SAFE, AsyncResult="201"),
        "unknown": LINK_INVALID,
        "malformed": LINK_INVALID,
    },
    "cancel": DELETES,
    "cancel_form": CANCELS,
    "cancel_operation": CANCELS,
}

CELLS: dict[str, dict[str, dict[str, Answer]]] = {
    "mailru": MAILRU,
    "moysklad": REMAP,
    "kladana": REMAP,
    "cisco": CISCO,
    "solitude": SOLITUDE,
    "prefer": PREFER,
}

# Requests -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def client():
    """Anna's client."""
    client = Client(raise_request_exception=False, headers={"Accept-Language": "en"})
    client.force_login(User.objects.create(username="anna"))
    return client


def prepared(dialect: str, situation: str) -> str:
    """Store the task of ``situation``; return the id to request."""
    if situation in SITUATIONS:
        return str(stored(owner=User.objects.get(username="anna"), dialect=dialect, **SITUATIONS[situation]).pk)
    if situation == "foreign":
        return str(stored(owner=User.objects.create(username="otto"), dialect=dialect, **DONE).pk)
    return str(uuid.uuid4()) if situation == "unknown" else "no-id"


def address(dialect: str, route: str, id: str) -> str:
    """The URL of ``route`` for a task, signed where the route needs it."""
    mount = conf.dialect(dialect)
    given = mount.ROUTES[route]
    path = f"{mount.prefix}/{given.path.format(id=id)}"
    return f"{path}?{signature(id)}" if given.public else path


def signature(id: str) -> str:
    expires = int(soon(minutes=1).timestamp())
    attempt = AsyncTask.objects.filter(pk=id).values_list("attempt", flat=True).first() if len(id) == 36 else None
    sign = conf.signer("download").sign(f"{id}:{attempt or 0}:{expires}")
    return f"temp_url_sig={sign}&temp_url_expires={expires}"


def ask(client: Client, dialect: str, route: str, id: str, **headers: str) -> Any:
    method = conf.dialect(dialect).ROUTES[route].method
    return client.generic(method, address(dialect, route, id), headers=headers)


def each_cell_of(dialect: str) -> Callable[[Any], Any]:
    cells = [(route, situation) for route, answers in CELLS[dialect].items() for situation in answers]
    each = pytest.mark.parametrize(
        ("route", "situation"), cells, ids=[f"{situation}-{route}" for route, situation in cells]
    )
    return lambda test: pytest.mark.product("route", "situation")(each(test))


def play(client: Client, dialect: str, route: str, situation: str) -> None:
    id = prepared(dialect, situation)
    places = {"id": id, "base": f"http://testserver{conf.dialect(dialect).prefix}"}
    cell = CELLS[dialect][route][situation]
    expected = Answer(cell.status, filled(cell.headers, **places), filled(cell.body, **places))
    response = ask(client, dialect, route, id)
    assert seen(response, expected) == expected
    assert stored_state(id) == next_state(dialect, route, situation)
    assert conformance.problems(dialect, route, response) == []


def stored_state(id: str) -> str | None:
    return AsyncTask.objects.filter(pk=id).values_list("state", flat=True).first() if len(id) == 36 else None


def next_state(dialect: str, route: str, situation: str) -> str | None:
    """The state of the row after the request: reading changes nothing, except for an overdue task."""
    if situation in STRANGE:
        return State.DONE if situation == "foreign" else None
    if (dialect, situation) == ("cisco", "overdue"):
        return State.ERROR
    state: State = SITUATIONS[situation]["state"]
    return State.CANCEL if route.startswith("cancel") and not state.is_final else state


@pytest.mark.seed("S000-2", "S000-3", "S000-18", "S000-20", "S000-21", "S000-22", "S000-23", "S000-24", "S000-25")
@pytest.mark.seed("S000-26", "S000-27", "S000-28", "S000-29", "S000-30", "S000-31", "S000-32", "S000-33", "S000-34")
@each_cell_of("mailru")
def test_mailru_answers(client, route, situation):
    play(client, "mailru", route, situation)


@each_cell_of("moysklad")
def test_moysklad_answers(client, route, situation):
    play(client, "moysklad", route, situation)


@each_cell_of("kladana")
def test_kladana_answers(client, route, situation):
    play(client, "kladana", route, situation)


@pytest.mark.seed("S003-13", "S003-14", "S003-15", "S003-16", "S003-17", "S003-20", "S003-21", "S003-22")
@each_cell_of("cisco")
def test_cisco_answers(client, route, situation):
    play(client, "cisco", route, situation)


@each_cell_of("solitude")
def test_solitude_answers(client, route, situation):
    play(client, "solitude", route, situation)


@each_cell_of("prefer")
def test_prefer_answers(client, route, situation):
    play(client, "prefer", route, situation)


@pytest.mark.parametrize("situation", EVERYTHING)
def test_cisco_answers_in_xml(client, situation):
    response = ask(client, "cisco", "status", prepared("cisco", situation), Accept="application/xml")
    assert conformance.problems("cisco", "status", response) == []
    in_json = CISCO["status"][situation]
    assert response.status_code == in_json.status
    assert response["Cache-Control"] == in_json.headers["Cache-Control"]
    if situation not in CISCO_XML:  # the view's own answer
        assert response.content == in_json.body
        return
    root, element, text = CISCO_XML[situation]
    tree = ElementTree.fromstring(response.content)
    assert (response["Content-Type"], tree.tag, tree.findtext(element)) == ("application/xml", root, text)


# Completeness of the tables -------------------------------------------------------------------------------------------


def test_every_dialect_has_a_table():
    assert CELLS.keys() == {mount.name for mount in conf.mounts} == BUILT_IN.keys()


def test_tables_have_every_route():
    routes = {mount.name: set(mount.ROUTES) for mount in conf.mounts}
    assert {dialect: set(table) for dialect, table in CELLS.items()} == routes


@pytest.mark.parametrize("dialect", CELLS)
def test_tables_have_every_situation_at_every_route(dialect):
    assert [route for route, cells in CELLS[dialect].items() if cells.keys() != set(EVERYTHING)] == []


def test_situations_have_every_state_and_reason():
    live = [fields for name, fields in SITUATIONS.items() if not name.startswith("expired")]
    assert {fields["state"] for fields in live} == set(State)
    assert {fields["reason"] for fields in live if fields["state"] is State.ERROR} == set(Reason)


def test_situations_outside_the_xml_table_are_responses_of_the_view():
    stored_answers = {name for name, fields in SITUATIONS.items() if "answer" in fields and "expired" not in name}
    assert CISCO_XML.keys() == set(EVERYTHING) - stored_answers


# Kick-offs ------------------------------------------------------------------------------------------------------------


class Call(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    answer: Answer


SOLITUDE_PATHS = {"replay": "/delay/replay/{id}/", "result": "/delay/result/{id}/"}
ENQUEUED = own(202, record("enqueued"), Location="/async_api/v2/requests/{id}.json")
TASK = own(
    202,
    Location="{base}/async/{id}/result",
    Content_Location="{base}/async/{id}",
    Content_Length="0",
    Retry_After=SECONDS,
)
PREFERRED = own(
    202,
    {"id": "{id}", "state": "PENDING", "links": {"self": "{base}/tasks/{id}", "operation": "{base}/operations/{id}"}},
    Location="{base}/tasks/{id}",
    Operation_Location="{base}/operations/{id}",
    Retry_After=SECONDS,
    Preference_Applied="respond-async",
    Vary=re.compile(r"(.+, )?Prefer(, .+)?"),
)

KICK_OFFS: dict[str, list[Call]] = {
    "mailru": [
        Call(method, "/async_api/v2/campaigns.json", {}, ENQUEUED) for method in ("GET", "POST", "PUT", "DELETE")
    ],
    "moysklad": [Call("GET", "/api/remap/1.2/report?async=true", {}, TASK)],
    "kladana": [Call("GET", "/kladana/api/remap/1.2/report?async=true", {}, TASK)],
    "cisco": [
        Call(method, "/unifiedconfig/config/calltype?async=true", {}, progress("IN_QUEUE"))
        for method in ("POST", "PUT", "PATCH", "DELETE")
    ],
    "solitude": [
        Call(method, "/generic/buyer/", {"Solitude-Async": "yes"}, own(202, SOLITUDE_PATHS, Location=ABSENT))
        for method in ("POST", "PUT", "PATCH")
    ],
    "prefer": [
        Call(method, path, {"Prefer": "respond-async"}, PREFERRED)
        for method, path in (
            ("GET", "/generic/buyer/"),
            ("POST", "/generic/buyer/"),
            ("GET", "/api/remap/1.2/report"),
            ("DELETE", "/unifiedconfig/config/calltype"),
        )
    ],
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.seed("S000-1", "S000-7", "S000-9", "S000-14", "S000-15", "S000-16", "S000-17", "S003-2", "S003-4")
@pytest.mark.seed("S003-5", "S003-6", "S003-7", "S003-10", "S003-11", "S003-12", "S003-13")
@pytest.mark.parametrize(
    ("dialect", "call"),
    [(dialect, call) for dialect, calls in KICK_OFFS.items() for call in calls],
    ids=lambda value: value if isinstance(value, str) else f"{value.method} {value.path}",
)
def test_kick_off_is_answered_202(client, dialect, call):
    Idle.sent.clear()
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        response = client.generic(call.method, call.path, headers=call.headers)
    task = AsyncTask.objects.get()
    assert (task.dialect, task.state, Idle.sent) == (dialect, State.PENDING, [str(task.pk)])
    places = {"id": str(task.pk), "base": f"http://testserver{conf.dialect(dialect).prefix}"}
    expected = Answer(202, filled(call.answer.headers, **places), filled(call.answer.body, **places))
    assert seen(response, expected) == expected
    assert conformance.problems_of_call(dialect, response) == []


AT_ONCE = {"Prefer": "respond-async, wait=15", "Idempotency-Key": "a-key"}


@pytest.mark.django_db(transaction=True)
def test_repeated_kick_off_with_wait_gets_the_response_until_it_expires(client):
    first = client.post("/generic/buyer/", headers=AT_ONCE)
    again = client.post("/generic/buyer/", headers=AT_ONCE)
    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    AsyncTask.objects.update(deletion_date=soon(seconds=-1))
    late = client.post("/generic/buyer/", headers=AT_ONCE)
    assert (late.status_code, late["Idempotency-Replayed"], late["Cache-Control"]) == (202, "true", "no-store")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("dialect", KICK_OFFS)
def test_invalid_or_reused_idempotency_key_is_refused_in_the_dialects_format(client, dialect):
    call = KICK_OFFS[dialect][0]
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=IDLE)):
        unusable = client.generic(call.method, call.path, headers={**call.headers, "Idempotency-Key": "a key"})
        keyed = {**call.headers, "Idempotency-Key": "a-key"}
        client.generic(call.method, call.path, b"first", headers=keyed)
        reused = client.generic(call.method, call.path, b"second", headers=keyed)
    for response, status in ((unusable, 400), (reused, 422)):
        assert conformance.problems_of_call(dialect, response) == []
        assert (response.status_code, response["Cache-Control"]) == (status, "no-store")
        assert response["Content-Type"] == UNAUTHENTICATED[dialect].headers["Content-Type"]
        assert part(SHAPES[dialect], response.json()) == SHAPES[dialect]
    assert AsyncTask.objects.count() == 1


def test_every_dialect_has_a_kick_off():
    assert KICK_OFFS.keys() == CELLS.keys()


# Refused in every state -----------------------------------------------------------------------------------------------

UNAUTHENTICATED = {
    "mailru": own(401, {"error": TEXT, "code": "not_authenticated"}, WWW_Authenticate=TEXT),
    "moysklad": remap_error(401, 1056),
    "kladana": remap_error(401, 1056),
    "cisco": api_error(401, "access.unauthorized"),
    "solitude": own(401, {"error": "not_authenticated", "error_message": TEXT}),
    "prefer": problem(401, "not_authenticated"),
}
SHAPES: dict[str, dict[str, Any]] = {
    "mailru": {"error": TEXT, "code": TEXT},
    "moysklad": {"errors": [{"error": TEXT, "code": 61000}]},
    "kladana": {"errors": [{"error": TEXT, "code": 61000}]},
    "cisco": {"apiError": [{"errorData": "", "errorMessage": TEXT, "errorType": TEXT}]},
    "solitude": {"error": TEXT, "error_message": TEXT},
    "prefer": {"type": "about:blank", "title": TEXT, "detail": TEXT, "code": TEXT},
}
NOT_ALLOWED = {
    "mailru": own(405, {"error": TEXT, "code": "method_not_allowed"}),
    "moysklad": remap_error(405, 1039),
    "kladana": remap_error(405, 1039),
    "cisco": api_error(405, "invalidInput.methodNotAllowed"),
    "solitude": own(405, {"error": "method_not_allowed", "error_message": TEXT}),
    "prefer": problem(405, "method_not_allowed"),
}
ALLOW = {
    ("prefer", "status"): "DELETE, GET",
    ("prefer", "cancel"): "DELETE, GET",
    ("prefer", "cancel_form"): "POST",
    ("prefer", "monitor"): "DELETE, GET",
    ("prefer", "cancel_operation"): "DELETE, GET",
    ("moysklad", "cancel"): "PUT",
    ("kladana", "cancel"): "PUT",
}
"""Where it is not GET alone."""

each_route = pytest.mark.parametrize(
    ("dialect", "route"), [(dialect, route) for dialect, table in CELLS.items() for route in table]
)


@each_route
def test_request_without_credentials_is_a_401(dialect, route):
    User.objects.create(username="anna")
    if conf.dialect(dialect).ROUTES[route].public:
        expected = CELLS[dialect][route]["done"]._replace(headers={})
    else:
        expected = UNAUTHENTICATED[dialect]
    response = ask(Client(), dialect, route, prepared(dialect, "done"))
    assert seen(response, expected) == expected
    assert conformance.problems(dialect, route, response) == []


@each_route
def test_other_method_is_a_405(client, dialect, route):
    expected = NOT_ALLOWED[dialect]
    allow = ALLOW.get((dialect, route), "GET")
    expected = Answer(expected.status, {**expected.headers, "Allow": allow}, expected.body)
    response = client.patch(address(dialect, route, prepared(dialect, "done")))
    assert seen(response, expected) == expected


# A task belongs to its dialect ----------------------------------------------------------------------------------------


def everything(response: Any) -> tuple[Any, ...]:
    return response.status_code, response.reason_phrase, sorted(response.items()), response.content


@pytest.mark.product()
@pytest.mark.parametrize(("dialect", "other"), list(itertools.permutations(CELLS, 2)))
def test_task_is_served_by_its_own_dialect_only(client, dialect, other):
    ids = [prepared(dialect, situation) for situation in SITUATIONS]
    for route in CELLS[other]:
        unknown = everything(ask(client, other, route, str(uuid.uuid4())))
        assert [everything(ask(client, other, route, id)) for id in ids] == [unknown] * len(ids)
    states = [SITUATIONS[situation]["state"] for situation in SITUATIONS]
    assert [stored_state(id) for id in ids] == states
