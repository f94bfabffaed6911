"""The document of the task addresses. The status matrix compares it with the responses of each of them."""

from __future__ import annotations

import copy
import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import include, path
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from django_asyncexchange.conf import conf
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.endpoints import webhooks
from django_asyncexchange.models import Delivery, Webhook
from django_asyncexchange.openapi import samples, schemas, views
from django_asyncexchange.openapi.document import document
from django_asyncexchange.protocol.states import State
from django_asyncexchange.rest.filters import ORDER, AsyncTaskFilter

from ..services import exchange, stored
from . import conformance

pytestmark = pytest.mark.urls(__name__)

urlpatterns = [
    path("tasks.openapi.json", views.document),
    path("", include("django_asyncexchange.urls")),
]


def operations(content: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(where, method, each) for where, item in content["paths"].items() for method, each in item.items()]


def examples_of(content: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(its reference, the schema beside it, its value) of each example of a response."""
    found = []
    for _, _, operation in operations(content):
        for response in operation["responses"].values():
            for media_type in response.get("content", {}).values():
                for each in media_type.get("examples", {}).values():
                    name = each["$ref"].rpartition("/")[2]
                    found.append((name, media_type["schema"], content["components"]["examples"][name]["value"]))
    return found


def test_document_of_all_dialects_is_valid_openapi_3_1():
    OpenAPIV31SpecValidator(json.loads(json.dumps(document()))).validate()


def test_document_is_valid_in_openapi_3_0_too():
    content = schemas.in_3_0(copy.deepcopy(document()))
    del content["webhooks"]
    OpenAPIV30SpecValidator(json.loads(json.dumps({**content, "openapi": "3.0.3"}))).validate()


def test_every_route_of_every_mount_is_described():
    described = {(where, method) for where, method, _ in operations(document())}
    routes = set()
    for mount in conf.mounts:
        tables = [mount.ROUTES, mount.SUBSCRIPTIONS.ROUTES if mount.SUBSCRIPTIONS else {}]
        routes |= {
            (f"{mount.prefix}/{route.path}", route.method.lower()) for table in tables for route in table.values()
        }
    assert {mount.name for mount in conf.mounts} == set(BUILT_IN)
    assert described == routes


def test_change_of_the_deletion_date_is_described_where_the_mount_allows_it():
    assert "patch" not in document()["paths"]["/async/tasks/{id}"]
    with override_settings(ASYNC_EXCHANGE=exchange(DIALECTS={"prefer": {"MAX_RETENTION": 3600}})):
        operation = document()["paths"]["/async/tasks/{id}"]["patch"]
    assert operation["requestBody"]["content"]["application/json"]["schema"]["required"] == ["deletion_date"]
    assert {"200", "400", "409", "410", "422"} & operation["responses"].keys() >= {"200", "400", "422"}


def test_every_example_meets_its_schema():
    found = conformance.of_mounts()
    given = examples_of(found.content)
    assert len(given) > 300
    assert [(name, wrong) for name, schema, value in given if (wrong := found.errors(schema, value))] == []


def test_operation_ids_are_unique():
    content = document()
    ids = [each["operationId"] for _, _, each in operations(content)]
    ids += [each["operationId"] for item in content["webhooks"].values() for each in item.values()]
    assert len(ids) == len(set(ids))


def test_signed_links_need_no_credentials_and_other_addresses_do():
    public = {where for where, _, each in operations(document()) if each["security"] == []}
    assert public == {
        "/async/tasks/{id}/download",
        "/api/remap/1.2/async/{id}/download",
        "/kladana/api/remap/1.2/async/{id}/download",
    }


def test_examples_are_not_signed_with_the_projects_key():
    signed = [value["links"]["download"] for name, _, value in examples_of(document()) if name == "prefer.task.done"]
    task = samples.tasks(conf.dialect("prefer"))["done"]
    expires = signed[0].rpartition("=")[2]
    assert conf.signer("download").sign(f"{task.id}:{task.attempt}:{expires}") not in signed[0]


def test_schemes_are_those_of_the_authentication_classes():
    with override_settings(
        ASYNC_EXCHANGE=exchange(
            AUTHENTICATION_CLASSES=[
                "rest_framework.authentication.BasicAuthentication",
                "rest_framework.authentication.TokenAuthentication",
                "rest_framework.authentication.SessionAuthentication",
            ]
        )
    ):
        schemes = document()["components"]["securitySchemes"]
    assert schemes["basicAuth"] == {"type": "http", "scheme": "basic"}
    assert schemes["tokenAuth"]["name"] == "Authorization"
    assert schemes["cookieAuth"] == {"type": "apiKey", "in": "cookie", "name": "sessionid"}


@pytest.mark.urls("tests.openapi.ninja_api")
def test_keys_of_ninja_are_schemes_as_ninja_describes_them():
    schemes = document()["components"]["securitySchemes"]
    assert schemes["Key"] == {"type": "apiKey", "in": "header", "name": "X-Key"}


def test_user_of_the_middleware_is_that_of_a_session():
    with override_settings(REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": []}):
        assert list(document()["components"]["securitySchemes"]) == ["cookieAuth"]


def test_anonymous_callers_need_none_where_they_are_allowed():
    with override_settings(ASYNC_EXCHANGE=exchange(ALLOW_ANONYMOUS=True)):
        assert {} in document()["paths"]["/async/tasks"]["get"]["security"]


def test_list_has_the_parameters_of_the_filter_set():
    described = {each["name"]: each for each in document()["paths"]["/async/tasks"]["get"]["parameters"]}
    assert described.keys() == {"limit", "offset", *AsyncTaskFilter.base_filters}
    assert set(described["order_by"]["schema"]["enum"]) == {sign + name for name in ORDER for sign in ("", "-")}


def test_messages_of_webhooks_are_described():
    notified = document()["webhooks"]
    assert {name for name in notified if name.startswith("prefer")} == {
        "prefer_create",
        "prefer_update",
        "prefer_processed",
    }
    operation = notified["prefer_processed"]["post"]
    assert {each["name"] for each in operation["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
    assert operation["requestBody"]["content"]["application/json"]["example"]["type"] == "task.processed"


@pytest.mark.django_db
def test_delivery_of_the_document_is_like_a_real_one():
    task = stored(state=State.DONE, status_code=200)
    webhook = Webhook.objects.create(dialect="prefer", account="1", action="PROCESSED", url="https://client.example/")
    row = Delivery.objects.create(webhook=webhook, task=task, event="PROCESSED", method="POST", url="", host="")
    row.attempts.create(at=samples.NOW, status_code=200, milliseconds=87, error="", answer="OK")
    real, described = webhooks.described(row), samples.delivery()
    assert real.keys() == described.keys()
    found = conformance.of_mounts()
    assert found.errors(found.content["components"]["schemas"]["PreferWebhookDeliveries"], {"results": [real]}) == []


def test_command_prints_the_document():
    output = io.StringIO()
    call_command("asyncexchange_openapi", server="https://example.org", stdout=output)
    assert json.loads(output.getvalue()) == json.loads(json.dumps(document("https://example.org")))


def test_view_serves_the_document_with_the_servers_address():
    response = Client().get("/tasks.openapi.json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert response.json()["servers"] == [{"url": "http://testserver"}]


def test_links_to_the_neighbours_of_a_page_may_be_null():
    properties = document()["components"]["schemas"]["PreferWebhooks"]["properties"]
    assert [properties[name]["type"] for name in ("next", "previous")] == [["string", "null"]] * 2


def test_webhook_may_have_delivered_nothing_yet():
    properties = document()["components"]["schemas"]["PreferWebhook"]["properties"]
    assert properties["last_success"]["type"] == ["string", "null"]


@pytest.mark.parametrize(("route", "done"), [("write", "id"), ("remove_many", "info")])
def test_each_of_several_webhooks_is_done_or_refused(route, done):
    content = document()
    paths = {"write": "/api/remap/1.2/entity/webhook", "remove_many": "/api/remap/1.2/entity/webhook/delete"}
    schema = content["paths"][paths[route]]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    several = schema["anyOf"][-1] if "anyOf" in schema else schema
    items = content["components"]["schemas"][several["$ref"].rpartition("/")[2]]["items"]
    assert {done, "errors"} <= items["properties"].keys()
    assert not {done, "errors"} & set(items.get("required", []))


def test_messages_are_sent_again_since_a_time_or_one_of_them():
    body = document()["paths"]["/async/webhooks/{id}/resend"]["post"]["requestBody"]
    alternatives = body["content"]["application/json"]["schema"]["anyOf"]
    assert alternatives == [{"required": ["since"]}, {"required": ["delivery"]}]
