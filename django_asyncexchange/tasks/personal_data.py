"""What is kept of a person, and how it goes: with the user (``ON_USER_DELETE``), or by ``asyncexchange_forget``.

Theirs are the tasks that they have submitted, with requests, answers, idempotency keys and deliveries, and the webhooks
and the row of an account that is theirs alone. A webhook of an account that others share stays, without its maker.
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
    """Whose data are meant."""

    key: Any
    """Primary key of the user, who need not exist any more."""
    account: str | None
    """The account that nobody else is in; None where the project's ``OWNER`` says whose tasks belong together."""

    @property
    def tasks(self) -> AsyncTaskQuerySet:
        theirs = Q(owner_id=self.key)
        if self.account is not None:  # those of a user of another database, or who is deleted, refer to nobody
            theirs |= Q(owner=None, account=self.account)
        return AsyncTask.objects.filter(theirs)

    @property
    def webhooks(self) -> QuerySet[Any]:
        return Webhook.objects.none() if self.account is None else Webhook.objects.filter(account=self.account)

    @property
    def accounts(self) -> QuerySet[Any]:
        return Account.objects.none() if self.account is None else Account.objects.filter(account=self.account)


def person(user: Any) -> Person:
    """Whoever ``user`` is."""
    return Person(key=user.pk, account=callers.account_of(user) if _is_alone() else None)


def former(key: Any) -> Person:
    """A user with this primary key who was deleted already."""
    return Person(key=key, account=callers.account_of(get_user_model()(pk=key)) if _is_alone() else None)


def _is_alone() -> bool:
    default: str = Conf.OWNER.default
    return default == conf.OWNER


def end(who: Person) -> None:
    """Serve nothing of theirs to anybody from this commit on: what waits or runs is cancelled, what is kept expires,
    nothing more is sent. It is deleted by the next ``prune``.
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
            some.update(deletion_date=Now(), purge_date=Now(), idempotency=None, request={}, owner=None)
        who.accounts.delete()


def forget(who: Person) -> dict[str, int]:
    """Delete all that is theirs now, files too. Returns how many ``tasks`` and ``webhooks`` went, and how many tasks
    are ``left`` because a file resists: ``prune`` tries those again.
    """
    keys = list(who.tasks.values_list("pk", flat=True))
    webhooks = who.webhooks.count()
    end(who)
    gone = 0
    for at in range(0, len(keys), BATCH):
        gone += pruning.forget(AsyncTask.objects.filter(pk__in=keys[at : at + BATCH]).only("pk"))
    return {"tasks": gone, "webhooks": webhooks, "left": len(keys) - gone}


# With the user --------------------------------------------------------------------------------------------------------


def watch() -> None:
    """Hear of each user who is deleted: in the admin, by a queryset, by a cascade. Proxies of the model have signals
    of their own; without a sender, Django would look at every row of every model before it deletes it.
    """
    model = get_user_model()
    for each in apps.get_models():
        if issubclass(each, model) and each._meta.concrete_model is model:
            pre_delete.connect(
                on_delete, sender=each, dispatch_uid=f"django_asyncexchange.tasks.personal_data.{each._meta.label}"
            )


def on_delete(instance: Any, using: str, **kwargs: Any) -> None:
    """End what is theirs, with the same commit where it can be one. Sent before our references to the user are null."""
    if conf.ON_USER_DELETE != DELETE:
        return
    who = person(instance)
    if using == router.db_for_write(AsyncTask):
        end(who)
    else:
        transaction.on_commit(lambda: end(who), using=using, robust=True)
