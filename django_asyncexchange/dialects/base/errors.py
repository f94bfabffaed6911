"""How errors are answered by a dialect whose protocol does not define its own codes.

The statuses are those that RFC 9110 and RFC 6585 define for these cases.
"""

from __future__ import annotations

from collections.abc import Mapping

from ... import exceptions as e
from .tables import Wire

CODES: Mapping[type[e.AsyncExchangeError], Wire] = {
    e.SubmitRefused: Wire(code="refused", status=400),
    e.RequestTooLarge: Wire(code="request_too_large", status=413),
    e.CapacityExceeded: Wire(code="capacity", status=429),
    e.StorageExceeded: Wire(code="storage", status=429),
    e.IdempotencyKeyMalformed: Wire(code="key_malformed", status=400),
    e.IdempotencyKeyReused: Wire(code="key_reused", status=422),
    e.SubmitFailed: Wire(code="unavailable", status=503),
    e.TaskNotFound: Wire(code="not_found", status=404),
    e.ResultUnavailable: Wire(code="no_result", status=404),
    e.ResultNotReady: Wire(code="not_ready", status=404),
    e.ResultExpired: Wire(code="expired", status=410),
    e.ResultFailed: Wire(code="failed", status=500),
    e.ResultCancelled: Wire(code="cancelled", status=410),
    e.NotCancellable: Wire(code="finished", status=409),
    e.SubscriptionRefused: Wire(code="webhook", status=400),
    e.FieldMissing: Wire(code="missing", status=400),
    e.AddressRefused: Wire(code="address", status=400),
    e.SubscriptionExists: Wire(code="exists", status=409),
    e.TooManySubscriptions: Wire(code="too_many", status=409),
    e.NotAdministrator: Wire(code="not_administrator", status=403),
    e.SubscriptionNotFound: Wire(code="no_webhook", status=404),
    e.ListingRefused: Wire(code="listing", status=400),
    e.FilterRefused: Wire(code="filter", status=400),
    e.PagingMalformed: Wire(code="paging", status=400),
    e.QueryMalformed: Wire(code="query", status=400),
    e.HttpRefused: Wire(code="bad_request", status=400),
    e.NotAuthenticated: Wire(code="not_authenticated", status=401),
    e.PermissionDenied: Wire(code="forbidden", status=403),
    e.CsrfFailed: Wire(code="csrf_failed", status=403),
    e.MethodNotAllowed: Wire(code="method_not_allowed", status=405),
    e.NotAcceptable: Wire(code="not_acceptable", status=406),
    e.Throttled: Wire(code="throttled", status=429),
    e.EventsUnavailable: Wire(code="no_events", status=501),
    e.InternalError: Wire(code="internal_error", status=500),
    e.Unavailable: Wire(code="temporarily_unavailable", status=503),
}
