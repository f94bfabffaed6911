"""Two tenants, whose users have the same keys."""

from __future__ import annotations

import os
from typing import Any

import pytest
from django.test import TransactionTestCase

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.interop.tenants.settings":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def rows_are_deleted() -> None:
    """Keep rows between tests: the tenants stay."""
    TransactionTestCase._fixture_teardown = lambda case: None


@pytest.fixture(scope="session", autouse=True)
def tenants(postgres_url: str, django_db_setup: None, django_db_blocker: Any) -> Any:
    """Created once for all tests: a schema takes seconds."""
    from django.contrib.auth.models import User
    from django_tenants.utils import schema_context

    from .models import Domain, Tenant

    with django_db_blocker.unblock():
        for schema, host, name in (
            ("public", "main.example", "olga"),
            ("a", "a.example", "anna"),
            ("b", "b.example", "berta"),
        ):
            tenant = Tenant.objects.create(schema_name=schema, name=schema)
            Domain.objects.create(domain=host, tenant=tenant, is_primary=True)
            with schema_context(schema):
                User.objects.create_user(name, pk=1)
        yield
