"""What the system checks ask the project's executor."""

from __future__ import annotations

import pytest
from django.core import checks
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_asyncexchange import executors
from django_asyncexchange.checks import CheckId
from django_asyncexchange.executors import Executor
from django_asyncexchange.executors.django_q import DjangoQ

from ..services import exchange
from .test_checks import found

pytestmark = pytest.mark.django_db


class OwnCluster(DjangoQ):
    """A project's subclass of an executor."""


class Broken(Executor):
    def __init__(self) -> None:
        raise ConnectionError("no broker there")


class Unconnected(Executor):
    @classmethod
    def connect(cls):
        raise ImportError("no module named queue")


class Uninstalled(Executor):
    requires_app = "tests.nowhere"


class Careful(Executor):
    def system_checks(self):
        yield "queue.W001", "The queue is slow.", "Make it faster."

    def deployment_checks(self):
        yield "queue.E001", "The queue is open.", "Close it."


def named(cls):
    return override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR=f"{__name__}.{cls.__name__}"))


def test_subclass_of_an_executor_has_its_checks():
    with named(OwnCluster), override_settings(Q_CLUSTER=None):
        assert found() == {CheckId.CLUSTER_MISSING}


def test_subclass_of_an_executor_has_its_setting_problems():
    with named(OwnCluster), override_settings(Q_CLUSTER={"workers": "2"}):
        assert found() == {CheckId.CLUSTER_WRONG}


@pytest.mark.parametrize("deploy", [False, True])
def test_executor_that_cannot_be_made_is_reported_once(deploy):
    with named(Broken):
        messages = checks.run_checks(include_deployment_checks=deploy)
    [message] = [message for message in messages if message.id == CheckId.EXECUTOR_WRONG]
    assert "ConnectionError: no broker there" in message.msg


def test_executor_that_cannot_connect_is_logged_and_the_project_starts(caplog):
    with named(Unconnected):
        executors.connect()
    assert "Unconnected cannot connect to the signals of its workers" in caplog.text


def test_executor_that_is_not_there_is_left_to_the_checks(caplog):
    with override_settings(ASYNC_EXCHANGE=exchange(EXECUTOR="tests.nowhere.Nothing")):
        executors.connect()
    assert caplog.text == ""


def test_executor_without_its_app_is_reported():
    with named(Uninstalled):
        messages = checks.run_checks()
    [message] = [message for message in messages if message.id == CheckId.EXECUTOR_WRONG]
    assert "Add 'tests.nowhere' to INSTALLED_APPS" in message.hint


def test_checks_of_an_executor_keep_their_ids():
    with named(Careful):
        kinds = {
            deploy: {(type(each), each.id) for each in checks.run_checks(include_deployment_checks=deploy)}
            for deploy in (False, True)
        }
    warning, error = (checks.Warning, "queue.W001"), (checks.Error, "queue.E001")
    assert warning in kinds[False]
    assert error not in kinds[False]
    assert {warning, error} <= kinds[True]


def test_worker_command_refuses_an_executor_with_workers_of_its_own():
    with named(Careful), pytest.raises(CommandError, match="workers of its own"):
        call_command("asyncexchange_worker")


def test_worker_command_finds_no_workers_of_such_an_executor():
    with named(Careful), pytest.raises(CommandError, match="No worker"):
        call_command("asyncexchange_worker", "--check")
