"""``manage.py check`` of the whole project."""

from __future__ import annotations

import pytest
from django.core import checks

pytestmark = pytest.mark.django_db


def test_check_finds_nothing():
    assert checks.run_checks(databases=["default"]) == []


def test_deployment_check_finds_nothing_of_ours_but_the_test_database():
    found = checks.run_checks(include_deployment_checks=True, databases=["default"])
    ours = {message.id for message in found if "asyncexchange" in message.id or "asyncexchange" in str(message.msg)}
    assert ours <= {"asyncexchange.W007", "asyncexchange.W015"}
