"""What is measured where."""

from __future__ import annotations

import dataclasses

from .stage import DEFAULT

BROKERS = (
    (DEFAULT, "SQLite"),
    (DEFAULT, "PostgreSQL"),
    ("django-q2 on Redis", "PostgreSQL"),
    ("Celery on Redis", "PostgreSQL"),
    ("Celery on RabbitMQ", "PostgreSQL"),
    ("Django Tasks", "PostgreSQL"),
)


@dataclasses.dataclass(frozen=True)
class Part:
    """One group of figures in one cell."""

    group: str
    database: str
    broker: str = DEFAULT
    is_large: bool = False
    """Whether it needs a second, large database."""

    def __str__(self) -> str:
        return f"{self.group}: {self.broker} and {self.database}"


PLAN = (
    Part("passing", "PostgreSQL"),
    *(
        Part(group, database)
        for group in ("submitting", "running", "costing", "polling")
        for database in ("SQLite", "PostgreSQL")
    ),
    *(Part(group, database, broker) for group in ("idling", "draining") for broker, database in BROKERS),
    Part("waiting", "PostgreSQL"),
    Part("delivering", "PostgreSQL"),
    Part("listing", "PostgreSQL", is_large=True),
    Part("keeping", "PostgreSQL", is_large=True),
    Part("reporting", "PostgreSQL"),
    Part("downloading", "PostgreSQL"),
)
