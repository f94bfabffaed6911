"""django-tenants: a call runs in its tenant's schema, as its tenant's user."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.test import Client
from django_tenants.utils import schema_context

from ..calls import twice

pytestmark = pytest.mark.django_db(transaction=True)


def signed_in(tenant):
    client = Client(headers={"Host": f"{tenant}.example"})
    with schema_context(tenant):
        client.force_login(User.objects.get(pk=1))
    return client


@pytest.mark.parametrize(("tenant", "name"), [("a", "anna"), ("b", "berta")])
def test_call_runs_in_its_tenant_as_its_user(tenant, name):
    calls = twice(signed_in(tenant), "/whoami/")
    assert calls.is_equal
    assert calls.later.json() == {"tenant": tenant, "user": 1, "name": name}


def test_user_with_the_same_key_in_another_tenant_gets_404():
    calls = twice(signed_in("a"), "/whoami/")
    stranger = signed_in("b")
    for address in (calls.accepted["Location"], calls.polled["Location"]):
        assert stranger.get(address.replace("a.example", "b.example")).status_code == 404


def test_check_warns_of_nothing_but_the_storage_of_results():
    assert {message.id for message in checks.run_checks()} <= {"asyncexchange.W001", "asyncexchange.W006"}
