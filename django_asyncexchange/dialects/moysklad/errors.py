"""MoySklad's error codes, and the errors that a finished task shows.

The codes are those of MoySklad's JSON API 1.2. It does not publish their HTTP statuses; here a business rule is 412 and
a request that cannot be parsed 400. 429 and 503 are kept for requests that are worth repeating unchanged, because
clients do repeat them.
"""

from __future__ import annotations

import http
import json
from typing import Any

from ...exceptions import (
    ActionRefused,
    ActionUnknown,
    AddressRefused,
    AddressTooLong,
    CallerUnknown,
    CapacityExceeded,
    CompressionRequired,
    CsrfFailed,
    DateMalformed,
    DateOutOfRange,
    DirectionUnknown,
    EntityUnknown,
    FieldMalformed,
    FieldMissing,
    FieldsRefused,
    FilterRefused,
    HttpRefused,
    IdempotencyKeyMalformed,
    IdempotencyKeyReused,
    InternalError,
    LinkInvalid,
    ListingRefused,
    MalformedId,
    MethodNotAllowed,
    MethodUnknown,
    NotAcceptable,
    NotAdministrator,
    NotAuthenticated,
    NotCancellable,
    NotEligible,
    OrderUnknown,
    PagingMalformed,
    PagingRefused,
    ParameterRefused,
    PermissionDenied,
    QueryMalformed,
    RequestTooLarge,
    ResultCancelled,
    ResultExpired,
    ResultFailed,
    ResultUnavailable,
    RouteNotFound,
    StateUnknown,
    SubmitFailed,
    SubmitRefused,
    SubscriptionExists,
    SubscriptionNotFound,
    SubscriptionRefused,
    TaskNotFound,
    Throttled,
    TooManySubscriptions,
    Unavailable,
)
from ...protocol.values import Snapshot
from ..base import Wire
from ..base import gettext_noop as _

CODES = {
    SubmitRefused: Wire(code=61000, status=412, text=_("The asynchronous task cannot be created.")),
    IdempotencyKeyMalformed: Wire(code=61000, status=400),
    IdempotencyKeyReused: Wire(code=61000, status=422),
    CallerUnknown: Wire(code=61000, status=412),
    NotEligible: Wire(code=61000, status=412),
    PagingRefused: Wire(code=61001, status=412, text=_("limit and offset cannot be combined with async=true.")),
    ParameterRefused: Wire(code=1084, status=400),
    CompressionRequired: Wire(code=1093, status=415, text=_("The header Accept-Encoding has to name gzip.")),
    RequestTooLarge: Wire(code=1044, status=413),
    CapacityExceeded: Wire(
        code=61002,
        status=412,
        text=_("The asynchronous task cannot be created: too many asynchronous operations are running at once."),
    ),
    SubmitFailed: Wire(code=61008, status=503, text=_("The asynchronous task could not be queued; try again later.")),
    TaskNotFound: Wire(code=1021, status=404, text=_("There is no such asynchronous task.")),
    MalformedId: Wire(code=1002, status=404, text=_("This is not the address of an asynchronous task.")),
    RouteNotFound: Wire(code=1002, status=404),
    ResultUnavailable: Wire(code=61006, status=412, text=_("The asynchronous task is not finished yet.")),
    ResultExpired: Wire(code=61003, status=404, text=_("The result of the asynchronous task has been deleted.")),
    ResultFailed: Wire(
        code=61004, status=412, text=_("The asynchronous task failed because of an internal error; create a new one.")
    ),
    ResultCancelled: Wire(code=61005, status=412, text=_("The asynchronous task was cancelled.")),
    LinkInvalid: Wire(code=1016, status=403),
    NotCancellable: Wire(
        code=61007, status=412, text=_("The asynchronous task cannot be cancelled: it is already finished.")
    ),
    SubscriptionRefused: Wire(code=30000, status=412),
    EntityUnknown: Wire(
        code=30000, status=412, text=_("There are no webhooks for %(value)s here; %(parameter)s can be: %(allowed)s.")
    ),
    MethodUnknown: Wire(code=30001, status=412),
    ActionUnknown: Wire(code=30002, status=412),
    SubscriptionExists: Wire(
        code=30003, status=412, text=_("There is already a webhook for this entity, action and address.")
    ),
    NotAdministrator: Wire(code=30004, status=403),
    AddressRefused: Wire(code=30005, status=412, text=_("The address is not an http(s) address that can be called.")),
    TooManySubscriptions: Wire(
        code=30007, status=412, text=_("There are as many webhooks for this entity and action as allowed.")
    ),
    ActionRefused: Wire(
        code=30008, status=412, text=_("Asynchronous tasks have no action %(value)s; it can be: %(allowed)s.")
    ),
    FieldsRefused: Wire(code=30009, status=412, text=_("diffType can be given with the action UPDATE only.")),
    AddressTooLong: Wire(code=30010, status=412),
    FieldMissing: Wire(code=3000, status=412),
    FieldMalformed: Wire(code=2016, status=412),
    SubscriptionNotFound: Wire(code=1021, status=404),
    ListingRefused: Wire(code=1040, status=400),
    FilterRefused: Wire(code=1034, status=400, text=_("The filter cannot be applied: %(value)s")),
    StateUnknown: Wire(code=1041, status=400),
    DateMalformed: Wire(
        code=1035, status=400, text=_("The filter has the date %(value)s; write it as YYYY-MM-DD HH:mm:ss.")
    ),
    DateOutOfRange: Wire(code=1014, status=400),
    PagingMalformed: Wire(code=1040, status=400),
    OrderUnknown: Wire(code=1063, status=400),
    DirectionUnknown: Wire(code=1042, status=400),
    QueryMalformed: Wire(code=1058, status=400),
    HttpRefused: Wire(code=1040, status=400),
    NotAuthenticated: Wire(code=1056, status=401, text=_("Authentication failed: valid credentials are needed.")),
    PermissionDenied: Wire(code=1016, status=403, text=_("Access denied: you have no right to do this.")),
    CsrfFailed: Wire(code=1016, status=403),
    MethodNotAllowed: Wire(code=1039, status=405, text=_("This address does not support this method.")),
    NotAcceptable: Wire(code=1062, status=406, text=_("The header Accept has to allow application/json.")),
    Throttled: Wire(code=1049, status=429),
    InternalError: Wire(code=1999, status=500),
    Unavailable: Wire(code=1999, status=503),
}

STATUS_CODES = {401: 1056, 403: 1016, 404: 1021, 405: 1039, 406: 1062, 413: 1044, 429: 1049}
"""Status of the view's response → code of an error that the view did not state itself."""

OTHER_CODE = 1005
"""Code for every other status, mostly 400 and 412."""


def errors_of(task: Snapshot) -> list[Any]:
    """The errors of an API_ERROR task: the view's own ``errors``, or one made of its status; never empty."""
    document = parsed(task.content)
    own = document.get("errors")
    if isinstance(own, list) and own and all(isinstance(item, dict) for item in own):
        return own
    status = task.status_code or 400
    detail = document.get("detail")
    text = detail if isinstance(detail, str) and detail else reason(status)
    return [{"error": text, "code": STATUS_CODES.get(status, OTHER_CODE)}]


def parsed(content: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return str(status)
