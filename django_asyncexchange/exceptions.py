"""Every error of the package, as one tree of exceptions.

A dialect maps each class to its own code and status (``Dialect.CODES``); the core never knows codes. ``message`` is the
text for clients, in English and marked for translation; ``details`` fill its placeholders; ``headers`` go with the
response.
"""

from __future__ import annotations

import collections


def gettext_noop(text: str) -> str:
    """Mark ``text`` for translation and return it unchanged, like Django's; this module needs no Django."""
    return text


_ = gettext_noop


class AsyncExchangeError(Exception):
    """Base class of all errors of the package."""

    message: str = _("The asynchronous call failed.")
    """Text for clients, in English, with ``%(detail)s`` placeholders; a missing detail is left empty."""
    status: int | None = None
    """HTTP status that replaces the dialect's own, where it is not None."""

    def __init__(self, *, headers: tuple[tuple[str, str], ...] = (), **details: object) -> None:
        super().__init__()
        self.headers = headers
        self.details = details

    def __str__(self) -> str:
        return self.message % collections.defaultdict(str, self.details)


# Submitting -----------------------------------------------------------------------------------------------------------


class SubmitRefused(AsyncExchangeError):
    """The call is not accepted for later."""

    message = _("This call is not accepted for later.")


class CallerUnknown(SubmitRefused):
    """The caller cannot be restored when the call runs."""

    message = _("This caller cannot be remembered until the call runs.")


class CallNotStorable(SubmitRefused):
    """The database cannot store the call, now or later."""

    message = _("This call cannot be stored.")


class NotEligible(SubmitRefused):
    """The view does not run asynchronously."""

    message = _("This address cannot be called asynchronously.")


class PagingRefused(SubmitRefused):
    """``limit`` or ``offset`` is combined with a request for the whole collection."""

    message = _("Paging parameters cannot be combined with an asynchronous call.")


class ParameterRefused(SubmitRefused):
    """A query parameter or header of the dialect has an unknown value (details: parameter, value, allowed)."""

    message = _("The parameter %(parameter)s is %(value)s; it can be: %(allowed)s.")


class CompressionRequired(SubmitRefused):
    """The mount requires ``Accept-Encoding: gzip``."""

    message = _("The header Accept-Encoding must allow gzip.")


class CallChanged(SubmitRefused):
    """An earlier middleware has read or changed the call, so that it cannot be captured."""

    message = _("An earlier middleware has read or changed this request, so it cannot be stored.")


class RequestTooLarge(SubmitRefused):
    """The body exceeds ``MAX_REQUEST_BYTES`` (detail: limit, in bytes)."""

    message = _("The request body is too large.")


class CapacityExceeded(SubmitRefused):
    """The account has as many unfinished tasks as ``CAPACITY`` allows."""

    message = _("Too many asynchronous calls are unfinished.")


class StorageExceeded(CapacityExceeded):
    """As many bytes are stored for the account as ``STORED_BYTES`` allows."""

    message = _("As much is kept for this account as may be.")


class CallbackRefused(SubmitRefused):
    """The callback's URL or method cannot be used (detail: field)."""

    message = _("The callback cannot be called.")


class IdempotencyKeyMalformed(SubmitRefused):
    """The idempotency key is empty, too long or not ASCII."""

    message = _("The idempotency key is not 1 to 255 visible ASCII characters.")


class IdempotencyKeyReused(SubmitRefused):
    """The idempotency key belongs to a different request."""

    message = _("The idempotency key was used for another request.")


class RequestErased(SubmitRefused):
    """The captured request of a finished task has been erased, so it cannot be rerun."""

    message = _("The captured request has been erased (KEEP_REQUESTS).")


class RequestLocked(RequestErased):
    """The captured request cannot be decrypted: its key is gone."""

    message = _("There is no key for the captured request any more.")


class SubmitFailed(SubmitRefused):
    """The task could not be stored or queued; a retry may succeed."""

    message = _("The call could not be queued; try again later.")


class NoWorker(SubmitFailed):
    """No worker is running (``REQUIRE_WORKER``)."""

    message = _("Nobody is there to run the call; try again later.")


class NotConfigured(SubmitFailed):
    """The settings do not allow calls to run or their results to be read."""

    message = _("This server is not configured for asynchronous calls.")


# Tasks and results ----------------------------------------------------------------------------------------------------


class TaskNotFound(AsyncExchangeError):
    """There is no such task, or the caller may not see it."""

    message = _("There is no such task.")


class MalformedId(TaskNotFound):
    """The id in the URL is not a UUID."""

    message = _("This is not a task id.")


class RouteNotFound(TaskNotFound):
    """There is no such URL among the task endpoints."""

    message = _("There is no such address.")


class ResultUnavailable(AsyncExchangeError):
    """The task has no result to return."""

    message = _("There is no result to fetch.")


class ResultNotReady(ResultUnavailable):
    """The task is still ``PENDING`` or ``PROCESSING``."""

    message = _("The task is not finished yet.")


class ResultExpired(ResultUnavailable):
    """The result is past its deletion date."""

    message = _("The result has been deleted.")


class ResultFailed(ResultUnavailable):
    """The run ended without a response (detail: reason)."""

    message = _("The task failed; submit the call again.")


class ResultCancelled(ResultUnavailable):
    """The task was cancelled."""

    message = _("The task was cancelled.")


class ResultTooLarge(ResultUnavailable):
    """The stored body is too large to be embedded in a document."""

    message = _("The result is too large to be embedded in this document.")


class LinkInvalid(ResultUnavailable):
    """A signed download link is forged or expired."""

    message = _("The link is not valid or no longer valid.")


class NotCancellable(AsyncExchangeError):
    """The task is already finished."""

    message = _("The task is already finished.")


# Webhooks -------------------------------------------------------------------------------------------------------------


class SubscriptionRefused(AsyncExchangeError):
    """The webhook cannot be created or changed as requested."""

    message = _("The webhook cannot be kept as asked.")


class FieldMissing(SubscriptionRefused):
    """A required field is missing (detail: parameter)."""

    message = _("The field %(parameter)s has to be given.")


class FieldMalformed(SubscriptionRefused):
    """A field has an invalid value (details: parameter, value)."""

    message = _("The field %(parameter)s cannot be %(value)s.")


class EntityUnknown(SubscriptionRefused):
    """The webhook is for an entity other than tasks (details: parameter, value, allowed)."""

    message = _("There are no webhooks for this kind of entity.")


class MethodUnknown(SubscriptionRefused):
    """The webhook asks for a method other than POST (details: parameter, value, allowed)."""

    message = _("The method is %(value)s; it can be: %(allowed)s.")


class ActionUnknown(SubscriptionRefused):
    """There is no such event (details: parameter, value, allowed)."""

    message = _("The action is %(value)s; it can be: %(allowed)s.")


class ActionRefused(SubscriptionRefused):
    """The protocol has this event, but not for tasks (details: parameter, value, allowed)."""

    message = _("Tasks have no such event.")


class FieldsRefused(SubscriptionRefused):
    """Changed fields are requested for an event other than UPDATE (details: parameter, value)."""

    message = _("Changed fields can be requested for UPDATE only.")


class AddressRefused(SubscriptionRefused):
    """The URL cannot be called, or may not be."""

    message = _("This address cannot be called.")


class AddressTooLong(AddressRefused):
    """The URL is too long (detail: limit, in characters)."""

    message = _("The address is longer than %(limit)s characters.")


class SubscriptionExists(SubscriptionRefused):
    """The account has the same webhook already."""

    message = _("There is such a webhook already.")


class TooManySubscriptions(SubscriptionRefused):
    """The account has as many webhooks as allowed."""

    message = _("There are as many webhooks as allowed.")


class NotAdministrator(SubscriptionRefused):
    """The caller is not an administrator of the account (``WEBHOOK_ADMIN``)."""

    message = _("Only an administrator may manage webhooks.")


class SubscriptionNotFound(AsyncExchangeError):
    """There is no such webhook, or the caller may not see it."""

    message = _("There is no such webhook.")


# Lists ----------------------------------------------------------------------------------------------------------------


class ListingRefused(AsyncExchangeError):
    """The query string of a list request cannot be used."""

    message = _("The list cannot be shown this way.")


class FilterRefused(ListingRefused):
    """A filter has an unknown field, operator or combination."""

    message = _("The filter cannot be applied.")


class StateUnknown(ListingRefused):
    """A filter names an unknown state (details: value, allowed)."""

    message = _("The filter names the unknown state %(value)s; it can be: %(allowed)s.")


class DateMalformed(ListingRefused):
    """A filter's date cannot be parsed (detail: value)."""

    message = _("The filter's date cannot be read.")


class DateOutOfRange(ListingRefused):
    """A filter's date is out of range (detail: value)."""

    message = _("The filter has the date %(value)s, which is out of range.")


class PagingMalformed(ListingRefused):
    """``limit`` or ``offset`` is not a number in its range (details: parameter, value)."""

    message = _("The parameter %(parameter)s cannot be %(value)s.")


class OrderUnknown(ListingRefused):
    """The list cannot be sorted by this field (details: field, allowed)."""

    message = _("The list cannot be sorted by %(field)s; it can be by: %(allowed)s.")


class DirectionUnknown(ListingRefused):
    """The sort direction is unknown (details: value, allowed)."""

    message = _("The sorting direction is %(value)s; it can be: %(allowed)s.")


class QueryMalformed(ListingRefused):
    """The query string cannot be decoded."""

    message = _("The parameters in the address cannot be decoded.")


# HTTP -----------------------------------------------------------------------------------------------------------------


class HttpRefused(AsyncExchangeError):
    """Django, DRF or the project refused the request."""

    message = _("The request was refused.")


class NotAuthenticated(HttpRefused):
    """The request has no valid credentials."""

    message = _("Valid credentials are needed.")


class PermissionDenied(HttpRefused):
    """The caller lacks a permission."""

    message = _("You are not allowed to do this.")


class CsrfFailed(PermissionDenied):
    """The CSRF check failed (detail: reason)."""

    message = _("The CSRF check failed: %(reason)s")


class MethodNotAllowed(HttpRefused):
    """The view or endpoint does not allow this method."""

    message = _("This method is not allowed here.")


class NotAcceptable(HttpRefused):
    """No renderer satisfies the ``Accept`` header."""

    message = _("This media type cannot be produced.")


class RequestMalformed(HttpRefused):
    """The request cannot be parsed."""

    message = _("The request cannot be understood.")


class DeletionDateRefused(RequestMalformed):
    """The deletion date is malformed, past or too late (details: parameter, value, latest)."""

    message = _("The deletion date cannot be %(value)s; it can be from now to %(latest)s.")


class Throttled(HttpRefused):
    """The caller has made too many requests."""

    message = _("Too many requests.")


class EventsUnavailable(HttpRefused):
    """This server streams no events: it is a WSGI server, and ``WSGI_EVENTS`` is off."""

    message = _("This server sends no events. Wait at the task's address with Prefer: wait=N instead.")


class InternalError(HttpRefused):
    """An unexpected exception was raised."""

    message = _("Internal server error.")


class Unavailable(InternalError):
    """The database is unavailable; a retry may succeed."""

    message = _("Unavailable for a moment; try again later.")
