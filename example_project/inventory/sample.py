"""The sample data: deterministic, and a larger set starts with the smaller one.

Ids that the vendors' examples use are fixed; the others are derived from names.
"""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from .models import Account, Counterparty, Member, Product, Sale, Stock, Store

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://example.com/django-asyncexchange")
SALES_FROM = dt.datetime(2018, 8, 1, 6, tzinfo=dt.UTC)
SALES_HOURS = 92 * 24
COUNTERPARTIES = 300

STORES = (("Не основной склад", "Not main warehouse"), ("Основной склад", "Main warehouse"))
GOODS = (("Чашка", "Cup"), ("Чайник", "Kettle"), ("Лампа", "Lamp"), ("Полка", "Shelf"), ("Стул", "Chair"))
COLOURS = (("белый", "white"), ("синий", "blue"), ("красный", "red"), ("зелёный", "green"))
COMPANIES = (("Ромашка", "Daisy"), ("Вектор", "Vector"), ("Восход", "Sunrise"), ("Север", "North"), ("Луч", "Ray"))


@dataclass(frozen=True, kw_only=True)
class Person:
    """A member with username and token."""

    name: str
    id: uuid.UUID
    kind: Member.Kind = Member.Kind.EMPLOYEE
    is_administrator: bool = False
    is_superuser: bool = False

    @property
    def token(self) -> str | None:
        return None if self.is_superuser else f"token-{self.name}"


@dataclass(frozen=True, kw_only=True)
class Company:
    """An account with its members and the fixed ids of its stores and first products."""

    account: Account
    people: tuple[Person, ...]
    stores: tuple[uuid.UUID, ...] = ()
    products: tuple[uuid.UUID, ...] = ()
    stocks: tuple[tuple[int, ...], ...] = ()
    """Stock of the first products in each store, without reserves."""

    def id_of(self, kind: str, number: int, given: tuple[uuid.UUID, ...] = ()) -> uuid.UUID:
        """The id of the object number ``number`` (from 1) of ``kind``."""
        return given[number - 1] if number <= len(given) else derived(f"{self.account.pk}/{kind}/{number}")


def derived(name: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, name)


FIRST = Company(
    account=Account(id=uuid.UUID("84e60e93-f504-11e5-8a84-bae500000008"), name="account 1"),
    people=(
        Person(name="anna", id=uuid.UUID("98fa7086-8aa1-11e8-7210-075e0000002c"), is_administrator=True),
        Person(name="ivan", id=uuid.UUID("acc59092-a291-11eb-ac12-000d00000014")),
        Person(name="app1", id=uuid.UUID("e715fb95-983a-11eb-0a80-321a00000004"), kind=Member.Kind.APPLICATION),
        Person(name="admin", id=derived("admin"), is_administrator=True, is_superuser=True),
    ),
    stores=(uuid.UUID("86c857d6-0302-11e6-9464-e4de00000072"), uuid.UUID("850ee995-f504-11e5-8a84-bae500000160")),
    products=(uuid.UUID("c02e3a5c-007e-11e6-9464-e4de00000006"), uuid.UUID("cc99c055-fa34-11e5-9464-e4de00000069")),
    stocks=((-30, 0), (0, 4)),
)
SECOND = Company(
    account=Account(id=derived("account 2"), name="account 2"),
    people=(Person(name="otto", id=derived("otto"), is_administrator=True),),
)


def stores(company: Company) -> list[Store]:
    return [
        Store(
            id=company.id_of("store", number, company.stores),
            account_id=company.account.pk,
            number=number,
            name=name,
            name_en=name_en,
        )
        for number, (name, name_en) in enumerate(STORES, 1)
    ]


def counterparties(company: Company) -> list[Counterparty]:
    return [
        Counterparty(
            id=company.id_of("counterparty", number),
            account_id=company.account.pk,
            number=number,
            name=f"ООО «{COMPANIES[number % len(COMPANIES)][0]}-{number}»",
            name_en=f"{COMPANIES[number % len(COMPANIES)][1]} {number} Ltd",
        )
        for number in range(1, COUNTERPARTIES + 1)
    ]


def products(company: Company, count: int) -> Iterator[Product]:
    chance = random.Random(f"products of {company.account.name}")
    for number in range(1, count + 1):
        thing, colour = chance.choice(GOODS), chance.choice(COLOURS)
        cost = chance.randrange(10_000, 500_000, 100)
        yield Product(
            id=company.id_of("product", number, company.products),
            account_id=company.account.pk,
            number=number,
            name=f"{thing[0]} {number}, {colour[0]}",
            name_en=f"{thing[1]} {number}, {colour[1]}",
            cost=cost,
            price=cost * chance.randint(110, 190) // 100,
        )


def stocks(company: Company, places: list[Store], count: int) -> Iterator[Stock]:
    """One row for every product and store."""
    chance = random.Random(f"stocks of {company.account.name}")
    for number in range(1, count + 1):
        product_id = company.id_of("product", number, company.products)
        for place, store in enumerate(places):
            figures = {
                "stock": chance.randint(-5, 200),
                "reserve": chance.choice((0, 0, 0, chance.randint(1, 20))),
                "in_transit": chance.choice((0, 0, 0, chance.randint(1, 50))),
            }
            if number <= len(company.stocks):
                figures = {"stock": company.stocks[number - 1][place]}
            yield Stock(product_id=product_id, store_id=store.pk, **figures)


def sales(company: Company, buyers: list[Counterparty], sold: list[Product], count: int) -> Iterator[Sale]:
    """``count`` sales within three months, of the ``sold`` products in turn."""
    chance = random.Random(f"sales of {company.account.name}")
    for turn in range(count):
        product, quantity = sold[turn % len(sold)], chance.randint(1, 10)
        yield Sale(
            account_id=company.account.pk,
            product_id=product.pk,
            counterparty_id=chance.choice(buyers).pk,
            moment=SALES_FROM + dt.timedelta(hours=chance.randrange(SALES_HOURS), minutes=chance.randrange(60)),
            quantity=quantity,
            amount=quantity * product.price,
            cost_amount=quantity * product.cost,
        )
