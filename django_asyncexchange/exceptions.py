"""Everything that can be refused or go wrong, as one tree.

::

    AsyncExchangeError
    ├── SubmitRefused            the call is not accepted for later
    │   ├── CallerUnknown        no run could be made as this caller
    │   ├── CallNotStorable      the database does not take the call, and never will
    │   ├── NotEligible          this view does not run asynchronously
    │   ├── PagingRefused        limit/offset beside a request for everything
    │   ├── ParameterRefused     a parameter of ours has a value we do not know
    │   ├── CompressionRequired  the mount insists on Accept-Encoding: gzip
    │   ├── CallChanged          an earlier middleware has left too little of it
    │   ├── RequestTooLarge      the body exceeds MAX_REQUEST_BYTES
    │   ├── CapacityExceeded     too many unfinished tasks
    │   │   └── StorageExceeded  too many bytes are kept for the account (STORED_BYTES)
    │   ├── CallbackRefused      the callback's address or method is unusable
    │   ├── IdempotencyKeyMalformed
    │   ├── IdempotencyKeyReused the key belongs to another request
    │   ├── RequestErased        a finished task cannot be run again
    │   │   └── RequestLocked    nor one whose key is gone
    │   └── SubmitFailed         the task could not be stored or queued
    │       ├── NoWorker         nobody is there to run it (REQUIRE_WORKER)
    │       └── NotConfigured    the settings do not allow it to be run, or its answer to be read
    ├── TaskNotFound             no such task for this caller
    │   ├── MalformedId          the id is not a UUID
    │   └── RouteNotFound        no such address under the task endpoints
    ├── ResultUnavailable
    │   ├── ResultNotReady       still pending or processing
    │   ├── ResultExpired        past its deletion date
    │   ├── ResultFailed         the run ended without an answer
    │   ├── ResultCancelled      the task was cancelled
    │   └── LinkInvalid          a signed link that is forged or too old
    ├── NotCancellable           the task is already finished
    ├── SubscriptionRefused      a webhook cannot be kept as asked
    │   ├── FieldMissing         a field that must be there is not
    │   ├── FieldMalformed       a field has a value of another kind
    │   ├── EntityUnknown        it wants to hear of something that is no task
    │   ├── MethodUnknown        it wants to be told by another method than POST
    │   ├── ActionUnknown        there is no such event
    │   ├── ActionRefused        there is, but not of tasks: they are not deleted by anybody
    │   ├── FieldsRefused        changed fields are wanted of an event that changes none
    │   ├── AddressRefused       the address may not or cannot be called
    │   ├── AddressTooLong
    │   ├── SubscriptionExists
    │   ├── TooManySubscriptions
    │   └── NotAdministrator     only an administrator of the account may
    ├── SubscriptionNotFound     no such webhook for this caller
    ├── ListingRefused           the list's query cannot be obeyed
    │   ├── FilterRefused        unknown field, operator or combination
    │   ├── StateUnknown         a filter names a state that does not exist
    │   ├── DateMalformed        a filter's date cannot be read
    │   ├── DateOutOfRange       a filter's date is absurd
    │   ├── PagingMalformed      limit or offset is not usable
    │   ├── OrderUnknown         sorting by a field that cannot be sorted by
    │   ├── DirectionUnknown     neither ascending nor descending
    │   └── QueryMalformed       the query string cannot be decoded
    └── HttpRefused              what the framework itself refuses
        ├── NotAuthenticated
        ├── PermissionDenied
        │   └── CsrfFailed       the session's user may have been made to send it by another site
        ├── MethodNotAllowed
        ├── NotAcceptable
        ├── RequestMalformed
        ├── Throttled
        └── InternalError
            └── Unavailable      the database is away; try again later

A dialect maps each class to its own code, status and text (``Dialect.CODES``); the core never knows codes.
A class's docstring is its default message; ``details`` fill the dialect's text; ``headers`` travel with the answer.
"""

from __future__ import annotations


class AsyncExchangeError(Exception):
    """Something went wrong with an asynchronous call."""

    status: int | None = None
    """The status to be answered, where it is not the dialect's for errors of this class."""

    def __init__(self, *, headers: tuple[tuple[str, str], ...] = (), **details: object) -> None:
        super().__init__((type(self).__doc__ or "").strip())
        self.headers = headers
        self.details = details


class SubmitRefused(AsyncExchangeError):
    """This call is not accepted for later."""


class CallerUnknown(SubmitRefused):
    """This caller cannot be remembered until the call runs."""


class CallNotStorable(SubmitRefused):
    """This call cannot be stored."""


class NotEligible(SubmitRefused):
    """This address cannot be called asynchronously."""


class PagingRefused(SubmitRefused):
    """Paging parameters cannot be combined with an asynchronous call."""


class ParameterRefused(SubmitRefused):
    """A parameter has a value that is not allowed."""


class CompressionRequired(SubmitRefused):
    """The client has to accept gzip."""


class CallChanged(SubmitRefused):
    """An earlier middleware has read or changed this call, so it cannot be kept for later."""


class RequestTooLarge(SubmitRefused):
    """The request body is too large."""


class CapacityExceeded(SubmitRefused):
    """Too many asynchronous calls are unfinished."""


class StorageExceeded(CapacityExceeded):
    """As much is kept for this account as may be."""


class CallbackRefused(SubmitRefused):
    """The callback cannot be called."""


class IdempotencyKeyMalformed(SubmitRefused):
    """The idempotency key is not 1 to 255 visible ASCII characters."""


class IdempotencyKeyReused(SubmitRefused):
    """The idempotency key was used for another request."""


class RequestErased(SubmitRefused):
    """The captured request has been erased (KEEP_REQUESTS)."""


class RequestLocked(RequestErased):
    """There is no key for the captured request any more."""


class SubmitFailed(SubmitRefused):
    """The call could not be queued; try again later."""


class NoWorker(SubmitFailed):
    """Nobody is there to run the call; try again later."""


class NotConfigured(SubmitFailed):
    """Calls cannot be accepted for later, because this server is not set up correctly."""


class TaskNotFound(AsyncExchangeError):
    """There is no such task."""


class MalformedId(TaskNotFound):
    """This is not a task id."""


class RouteNotFound(TaskNotFound):
    """There is no such address."""


class ResultUnavailable(AsyncExchangeError):
    """There is no result to fetch."""


class ResultNotReady(ResultUnavailable):
    """The task is not finished yet."""


class ResultExpired(ResultUnavailable):
    """The result has been deleted."""


class ResultFailed(ResultUnavailable):
    """The task failed; submit the call again."""


class ResultCancelled(ResultUnavailable):
    """The task was cancelled."""


class ResultTooLarge(ResultUnavailable):
    """The answer is too large for a document about it; it is to be had as it is."""


class LinkInvalid(ResultUnavailable):
    """The link is not valid or no longer valid."""


class NotCancellable(AsyncExchangeError):
    """The task is already finished."""


class SubscriptionRefused(AsyncExchangeError):
    """The webhook cannot be kept as asked."""


class FieldMissing(SubscriptionRefused):
    """A field is missing."""


class FieldMalformed(SubscriptionRefused):
    """A field has a value of another kind."""


class EntityUnknown(SubscriptionRefused):
    """There are no webhooks for entities of this kind."""


class MethodUnknown(SubscriptionRefused):
    """Webhooks are sent by POST."""


class ActionUnknown(SubscriptionRefused):
    """There is no such event."""


class ActionRefused(SubscriptionRefused):
    """Tasks have no such event."""


class FieldsRefused(SubscriptionRefused):
    """Only an UPDATE can tell which fields have changed."""


class AddressRefused(SubscriptionRefused):
    """This address cannot be called."""


class AddressTooLong(AddressRefused):
    """The address is too long."""


class SubscriptionExists(SubscriptionRefused):
    """There is such a webhook already."""


class TooManySubscriptions(SubscriptionRefused):
    """There are as many webhooks as allowed."""


class NotAdministrator(SubscriptionRefused):
    """Only an administrator of the account may do this."""


class SubscriptionNotFound(AsyncExchangeError):
    """There is no such webhook."""


class ListingRefused(AsyncExchangeError):
    """The list cannot be shown this way."""


class FilterRefused(ListingRefused):
    """The filter cannot be applied."""


class StateUnknown(ListingRefused):
    """The filter names an unknown state."""


class DateMalformed(ListingRefused):
    """The filter's date cannot be read."""


class DateOutOfRange(ListingRefused):
    """The filter's date is out of range."""


class PagingMalformed(ListingRefused):
    """limit or offset is not a number in its range."""


class OrderUnknown(ListingRefused):
    """The list cannot be sorted by this field."""


class DirectionUnknown(ListingRefused):
    """The sorting direction is neither asc nor desc."""


class QueryMalformed(ListingRefused):
    """The query string cannot be decoded."""


class HttpRefused(AsyncExchangeError):
    """The request was refused."""


class NotAuthenticated(HttpRefused):
    """Valid credentials are needed."""


class PermissionDenied(HttpRefused):
    """You are not allowed to do this."""


class CsrfFailed(PermissionDenied):
    """The CSRF check failed."""


class MethodNotAllowed(HttpRefused):
    """This method is not allowed here."""


class NotAcceptable(HttpRefused):
    """None of the media types that you accept can be produced."""


class RequestMalformed(HttpRefused):
    """The request cannot be understood."""


class Throttled(HttpRefused):
    """Too many requests."""


class InternalError(HttpRefused):
    """Internal server error."""


class Unavailable(InternalError):
    """Unavailable for a moment; try again later."""
