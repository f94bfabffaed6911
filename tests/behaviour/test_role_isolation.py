"""Who sees whose tasks: each role at each endpoint of each dialect, generated from the URLconf.

A hidden task is answered, byte for byte, like one that does not exist. A new endpoint or dialect is in the matrix as
soon as it is routed; only a new role or a new kind of endpoint needs an expectation here.
"""

from __future__ import annotations

import dataclasses
import re
import uuid

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client, override_settings

from django_asyncexchange import urls
from django_asyncexchange.conf import conf
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.endpoints.tasks import TaskView
from django_asyncexchange.models import AsyncTask
from django_asyncexchange.protocol.states import State

from ..services import exchange, stored

pytestmark = pytest.mark.django_db


@dataclasses.dataclass(frozen=True)
class Role:
    company: str | None
    """The account; None = nobody is logged in."""
    is_staff: bool = False
    is_trusted: bool = False
    """Has ``asyncexchange.see_all_asynctasks``."""
    sees_shared: bool = False
    """Whether it sees the owner's task where a dialect shares an account's tasks."""
    sees_personal: bool = False
    """Whether it sees the owner's task where a dialect shows tasks to their owner alone."""


ROLES = {
    "owner": Role("one", sees_shared=True, sees_personal=True),
    "colleague": Role("one", sees_shared=True),
    "stranger": Role("two"),
    "staff": Role("two", is_staff=True),
    "officer": Role("two", is_staff=True, is_trusted=True, sees_shared=True, sees_personal=True),
    "trusted, but no staff": Role("two", is_trusted=True),
    "nobody": Role(None),
}


@dataclasses.dataclass(frozen=True)
class Address:
    """One method of one URL pattern of one mount."""

    mount: object
    name: str
    method: str
    route: object

    def __str__(self):
        return f"{self.method} {self.mount.prefix}/{self.route.path}"

    def path(self, id):
        return f"{self.mount.prefix}/{self.route.path}".replace("{id}", str(id))

    @property
    def is_list(self):
        return "{id}" not in self.route.path

    def is_for(self, role):
        """Whether ``role`` may see the owner's task here."""
        if self.route.public:
            return False  # without a signed link nobody sees anything
        return role.sees_personal if self.mount.PER_OWNER else role.sees_shared


PATTERNS = [
    (mount, pattern) for mount in conf.mounts for pattern in urls.routes(mount) if pattern.callback.cls is TaskView
]
ADDRESSES = [
    Address(mount, pattern.name, method, mount.ROUTES[verb])
    for mount, pattern in PATTERNS
    for method, verb in pattern.callback.initkwargs["verbs"].items()
]
OF_ONE_TASK = [address for address in ADDRESSES if not address.is_list]
LISTS = [address for address in ADDRESSES if address.is_list]

each_of_one_task = pytest.mark.parametrize("address", OF_ONE_TASK, ids=str)
each_list = pytest.mark.parametrize("address", LISTS, ids=str)
each_role = pytest.mark.parametrize("role", list(ROLES))


@pytest.fixture(autouse=True)
def companies():
    with override_settings(ASYNC_EXCHANGE=exchange(OWNER="tests.services.company")):
        yield


@pytest.fixture
def people(db):
    users = {}
    for name, role in ROLES.items():
        if role.company is not None:
            users[name] = User.objects.create(username=name, last_name=role.company, is_staff=role.is_staff)
            if role.is_trusted:
                users[name].user_permissions.add(Permission.objects.get(codename="see_all_asynctasks"))
    return users


def as_(people, role):
    client = Client(raise_request_exception=False)
    if role in people:
        client.force_login(people[role])
    return client


def of_owner(people, address, state):
    owner = people["owner"]
    return stored(state, owner=owner, account=owner.last_name, dialect=address.mount.name, answer=b'{"rows":[]}')


def seen(response):
    """Everything in ``response`` that a client sees."""
    return response.status_code, response.reason_phrase, list(response.items()), response.content


# The matrix -----------------------------------------------------------------------------------------------------------


@pytest.mark.product("role", "address")
@each_role
@each_of_one_task
def test_hidden_task_is_answered_like_an_unknown_one(people, address, role):
    client = as_(people, role)
    unknown = client.generic(address.method, address.path(uuid.uuid4()))
    if address.is_for(ROLES[role]):
        task = of_owner(people, address, State.DONE)
        assert seen(client.generic(address.method, address.path(task.pk))) != seen(unknown)
        return
    for state in State:
        task = of_owner(people, address, state)
        assert seen(client.generic(address.method, address.path(task.pk))) == seen(unknown)
        assert AsyncTask.objects.get(pk=task.pk).state == state


@pytest.mark.product("role", "address")
@each_role
@each_of_one_task
def test_unknown_task_is_answered_in_the_dialects_format(people, address, role):
    response = as_(people, role).generic(address.method, address.path(uuid.uuid4()))
    expected = 403 if address.route.public else 401 if role == "nobody" else 404
    assert response.status_code == expected
    assert response["Cache-Control"] == "no-store"


@pytest.mark.product("role", "address")
@each_role
@each_list
def test_list_shows_only_visible_tasks(people, address, role):
    tasks = [of_owner(people, address, state) for state in State]
    response = as_(people, role).generic(address.method, address.path(""))
    shown = {task.pk for task in tasks if str(task.pk).encode() in response.content}
    assert shown == ({task.pk for task in tasks} if address.is_for(ROLES[role]) else set())
    assert response.status_code == (401 if role == "nobody" else 200)


@pytest.mark.product("role", "address")
@each_role
@each_list
def test_empty_list_does_not_depend_on_tasks_of_others(people, address, role):
    if not address.is_for(ROLES[role]):
        client = as_(people, role)
        empty = seen(client.generic(address.method, address.path("")))
        for state in State:
            of_owner(people, address, state)
        assert seen(client.generic(address.method, address.path(""))) == empty


@each_of_one_task
def test_anonymous_client_does_not_see_an_owners_task(people, address):
    with override_settings(ASYNC_EXCHANGE=exchange(OWNER="tests.services.company", ALLOW_ANONYMOUS=True)):
        client = as_(people, "nobody")
        unknown = seen(client.generic(address.method, address.path(uuid.uuid4())))
        for state in State:
            task = of_owner(people, address, state)
            assert seen(client.generic(address.method, address.path(task.pk))) == unknown
            assert AsyncTask.objects.get(pk=task.pk).state == state


@each_of_one_task
def test_deactivated_user_sees_nothing(people, address):
    client = as_(people, "owner")
    task = of_owner(people, address, State.DONE)
    User.objects.update(is_active=False)
    unknown = seen(as_(people, "nobody").generic(address.method, address.path(task.pk)))
    assert seen(client.generic(address.method, address.path(task.pk)))[3] == unknown[3]


@pytest.mark.parametrize("role", [role for role in ROLES if role != "owner" and role != "officer"])
def test_tasks_of_others_cannot_be_cancelled(people, role):
    for address in ADDRESSES:
        if "cancel" in address.name and not address.is_for(ROLES[role]):
            task = of_owner(people, address, State.PENDING)
            as_(people, role).generic(address.method, address.path(task.pk))
            assert AsyncTask.objects.get(pk=task.pk).state == State.PENDING


def test_revoked_permission_takes_effect_at_once(people):
    client, addresses = as_(people, "officer"), [address for address in OF_ONE_TASK if not address.route.public]
    people["officer"].user_permissions.clear()
    for address in addresses:
        task = of_owner(people, address, State.DONE)
        assert client.generic(address.method, address.path(task.pk)).status_code == 404


# Completeness of the matrix -------------------------------------------------------------------------------------------


def test_matrix_has_every_dialect():
    assert {address.mount.name for address in ADDRESSES} == set(BUILT_IN) == {mount.name for mount in conf.mounts}


def test_matrix_has_every_route():
    routed = {
        (mount.name, route.method, route.path.strip("/")) for mount in conf.mounts for route in mount.ROUTES.values()
    }
    assert {(address.mount.name, address.method, address.route.path.strip("/")) for address in ADDRESSES} == routed


def test_matrix_requests_every_url_pattern(people):
    client = as_(people, "owner")
    visited = set()
    for address in ADDRESSES:
        visited.add(client.generic(address.method, address.path(uuid.uuid4())).resolver_match.url_name)
    for mount, pattern in PATTERNS:
        if not pattern.callback.initkwargs["verbs"]:
            segment = re.escape(pattern.name.removeprefix(f"{mount.name}-").removesuffix("-nothing"))
            visited.add(client.get(f"{mount.prefix}/{segment}/no/such/address").resolver_match.url_name)
    assert visited == {pattern.name for _, pattern in PATTERNS}


def test_every_role_but_the_trusted_one_sees_less_than_the_owner():
    owner, officer = ROLES["owner"], ROLES["officer"]
    assert all(address.is_for(owner) == address.is_for(officer) for address in ADDRESSES)
    assert all(
        any(address.is_for(owner) and not address.is_for(role) for address in ADDRESSES)
        for role in ROLES.values()
        if role not in (owner, officer)
    )
