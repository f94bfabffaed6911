"""Personal data: deleted with the user (``ON_USER_DELETE``) or by ``asyncexchange_forget``.

These are the user's tasks with requests, responses, idempotency keys and deliveries, and the webhooks and ``Account``
row of an account that nobody else uses. A webhook of a shared account stays, without its owner.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.db.models.signals import pre_delete

from ..conf import Conf, conf
from ..exceptions import NotCancellable
from ..identity import callers
from ..models import Account, AsyncTask, Delivery, Webhook
from ..models.querysets import AsyncTaskQuerySet
from ..models.timestamps import Now
from ..protocol.values import value
from ..webhooks import subscriptions
from . import lifecycle, pruning

BATCH = 500
DELETE, KEEP = "delete", "keep"
"""Values of ``ON_USER_DELETE``."""


@value
class Person:
    """The person whose data is deleted."""

    key: Any
    """Primary key of the user, who may be deleted already."""
    account: str | None
    """The user's own account; None if ``OWNER`` is customised, because accounts may be shared then."""

    @property
    def tasks(self) -> AsyncTaskQuerySet:
        theirs = Q(owner_id=self.key)
        if self.account is not None:  # tasks of deleted users, or of users in another database, have no owner
            theirs |= Q(owner=None, account=self.account)
        return AsyncTask.objects.filter(theirs)

    @property
    def webhooks(self) -> QuerySet[Any]:
        return Webhook.objects.none() if self.account is None else Webhook.objects.filter(account=self.account)

    @property
    def accounts(self) -> QuerySet[Any]:
        return Account.objects.none() if self.account is None else Account.objects.filter(account=self.account)


def person(user: Any) -> Person:
    """The ``Person`` of ``user``."""
    return Person(key=user.pk, account=callers.account_of(user) if _has_own_account() else None)


def deleted_person(key: Any) -> Person:
    """The ``Person`` of a user who was deleted already."""
    return Person(key=key, account=callers.account_of(get_user_model()(pk=key)) if _has_own_account() else None)


def _has_own_account() -> bool:
    default: str = Conf.OWNER.default
    return default == conf.OWNER


def expire(who: Person) -> None:
    """Make the person's data unavailable with this commit: cancel tasks, expire results, delete deliveries and
    webhooks. The next ``prune`` deletes the rest.
    """
    with transaction.atomic(using=router.db_for_write(AsyncTask)):
        for webhook in who.webhooks:
            subscriptions.remove(webhook)
        Webhook.objects.filter(owner_id=who.key).update(owner=None, owner_reference="")
        for task in who.tasks.unfinished():
            try:
                lifecycle.cancel(task)
            except NotCancellable:
                continue  # it has just ended
        keys = list(who.tasks.values_list("pk", flat=True))
        for at in range(0, len(keys), BATCH):
            some = AsyncTask.objects.filter(pk__in=keys[at : at + BATCH])
            Delivery.objects.filter(task__in=keys[at : at + BATCH]).delete()
            erased: dict[str, Any] = {"idempotency": None, "request": {}, "response_cookies": "", "owner": None}
            some.update(deletion_date=Now(), purge_date=Now(), **erased)
        who.accounts.delete()


def forget(who: Person) -> dict[str, int]:
    """Delete the person's data now, files included. Return the number of deleted ``tasks`` and ``webhooks``, and of
    tasks ``left`` because a file could not be deleted: ``prune`` retries those.
    """
    keys = list(who.tasks.values_list("pk", flat=True))
    webhooks = who.webhooks.count()
    expire(who)
    gone = 0
    for at in range(0, len(keys), BATCH):
        gone += pruning.delete_finished(AsyncTask.objects.filter(pk__in=keys[at : at + BATCH]).only("pk"))
    return {"tasks": gone, "webhooks": webhooks, "left": len(keys) - gone}


# Deletion of users ----------------------------------------------------------------------------------------------------


def connect() -> None:
    """Connect ``pre_delete`` of the user model and its proxies, which have signals of their own. A receiver without a
    sender would make Django fetch every row of every model before it deletes it.
    """
    model = get_user_model()
    for each in apps.get_models():
        if issubclass(each, model) and each._meta.concrete_model is model:
            pre_delete.connect(
                on_delete, sender=each, dispatch_uid=f"django_asyncexchange.tasks.personal_data.{each._meta.label}"
            )


def on_delete(instance: Any, using: str, **kwargs: Any) -> None:
    """``pre_delete`` receiver: expires the data in the same transaction if it is in the same database. Tasks still
    refer to the user at this time.
    """
    if conf.ON_USER_DELETE != DELETE:
        return
    who = person(instance)
    if using == router.db_for_write(AsyncTask):
        expire(who)
    else:
        transaction.on_commit(lambda: expire(who), using=using, robust=True)
