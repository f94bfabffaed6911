"""``manage.py load_sample``: load the data for the vendors' examples."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import models, reset_queries, transaction

from ... import sample
from ...access import digest_of
from ...models import AccessToken, Account, Counterparty, Member, Product, Sale, Stock, Store

BATCH = 5000
SALES_A_PRODUCT = 3
MOST_SOLD = 10_000
SECOND_ACCOUNT = 50
"""Products of the second account, which shows that accounts are isolated from each other."""


class Command(BaseCommand):
    help = "Loads the sample data: accounts, tokens, products, stocks, counterparties, sales. Can be repeated."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--products", type=positive, default=2135, help="how many products (default: 2135)")

    def handle(self, *args: Any, products: int, **options: Any) -> None:
        load(sample.FIRST, products)
        load(sample.SECOND, min(products, SECOND_ACCOUNT))
        self.stdout.write(f"{products} products, {products * len(sample.STORES)} stocks; tokens: {', '.join(tokens())}")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one product is needed")
    return number


def tokens() -> list[str]:
    people = (*sample.FIRST.people, *sample.SECOND.people)
    return [person.token for person in people if person.token]


def load(company: sample.Company, products: int) -> None:
    """Replace the data of ``company``."""
    account = company.account
    Account.objects.update_or_create(pk=account.pk, defaults={"name": account.name})
    for person in company.people:
        load_person(account, person)
    clear(account)
    stores = Store.objects.bulk_create(sample.stores(company))
    buyers = Counterparty.objects.bulk_create(sample.counterparties(company))
    create(Product, sample.products(company, products))
    create(Stock, sample.stocks(company, stores, products))
    sold = list(sample.products(company, min(products, MOST_SOLD)))
    create(Sale, sample.sales(company, buyers, sold, SALES_A_PRODUCT * len(sold)))


@transaction.atomic
def load_person(account: Account, person: sample.Person) -> None:
    """Create or update a user with its membership and its token or password."""
    user, is_new = get_user_model().objects.get_or_create(
        username=person.name, defaults={"is_staff": person.is_superuser, "is_superuser": person.is_superuser}
    )
    if is_new:
        user.set_password("admin" if person.is_superuser else None)
        user.save()
    Member.objects.update_or_create(
        user=user,
        defaults={
            "id": person.id,
            "account": account,
            "kind": person.kind,
            "is_administrator": person.is_administrator,
        },
    )
    if person.token:
        AccessToken.objects.update_or_create(digest=digest_of(person.token.encode()), defaults={"user": user})


def clear(account: Account) -> None:
    """Delete the account's data in batches, because Django loads what it deletes into memory."""
    Sale.objects.filter(account=account).delete()
    Stock.objects.filter(store__account=account).delete()
    last = Product.objects.filter(account=account).aggregate(last=models.Max("number"))["last"] or 0
    for start in range(0, last + 1, BATCH):
        Product.objects.filter(account=account, number__range=(start, start + BATCH - 1)).delete()
    Counterparty.objects.filter(account=account).delete()
    Store.objects.filter(account=account).delete()


def create(model: type[models.Model], rows: Iterable[models.Model]) -> None:
    """Insert ``rows`` in batches, each in a short transaction and without keeping them in memory."""
    rows = iter(rows)
    while batch := list(islice(rows, BATCH)):
        model._default_manager.bulk_create(batch)
        reset_queries()  # with DEBUG, Django keeps all queries in memory
