"""``manage.py check`` of the whole project."""

from __future__ import annotations

import pytest
from django.core import checks

pytestmark = pytest.mark.django_db


def test_check_is_silent():
    assert checks.run_checks(databases=["default"]) == []


def test_the_check_for_deployments_names_nothing_of_ours_but_the_database_of_the_tests():
    found = checks.run_checks(include_deployment_checks=True, databases=["default"])
    ours = {message.id for message in found if "asyncexchange" in message.id or "asyncexchange" in str(message.msg)}
    assert ours <= {"asyncexchange.W007", "asyncexchange.W015"}
