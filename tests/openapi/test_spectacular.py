"""The document of drf-spectacular with our hook."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from django.urls import include, path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from drf_spectacular.utils import extend_schema
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.generics import GenericAPIView
from rest_framework.response import Response
from rest_framework.versioning import URLPathVersioning
from rest_framework.viewsets import GenericViewSet

from django_asyncexchange.decorators import allow_async, never_async

from ..services import exchange

pytestmark = pytest.mark.urls(__name__)

HOOKS = [
    "drf_spectacular.hooks.postprocess_schema_enums",
    "django_asyncexchange.openapi.spectacular.postprocess",
]


class Row(serializers.Serializer[Any]):
    text = serializers.CharField()


class View(GenericAPIView[Any]):
    serializer_class = Row

    def get(self, request: Any) -> Response:
        return Response()

    def post(self, request: Any) -> Response:
        return Response()


class Marked(View):
    async_exchange = True

    @extend_schema(responses={200: Row, 202: Row, 429: Row})
    def get(self, request: Any) -> Response:
        return Response()


class Rows(GenericViewSet[Any]):
    serializer_class = Row

    def retrieve(self, request: Any, pk: str) -> Response:
        return Response()

    @allow_async
    def list(self, request: Any) -> Response:
        return Response()


class Versioned(Marked):
    versioning_class = URLPathVersioning


@allow_async
@extend_schema(request=Row, responses=Row)
@api_view(["POST"])
def function(request: Any) -> Response:
    return Response()


@never_async
class Never(View):
    pass


urlpatterns = [
    path("api/marked/", Marked.as_view()),
    path("api/plain/", View.as_view()),
    path("api/never/", Never.as_view()),
    path("api/listed/", View.as_view(), name="listed"),
    path("api/wild/<int:pk>/", Rows.as_view({"get": "retrieve"})),
    path("api/rows/", Rows.as_view({"get": "list"})),
    path("api/rows/<int:pk>/", Rows.as_view({"get": "retrieve"})),
    path("api/<str:version>/versioned/", Versioned.as_view()),
    path("api/function/", function),
    path("", include("django_asyncexchange.urls")),
]


def generated(version: str = "3.1.1", mounts: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The document, as JSON. ``mounts``: those besides the mounts of the tests."""
    dialects = {**settings.ASYNC_EXCHANGE["DIALECTS"], **(mounts or {})}
    with (
        patched_settings({"OAS_VERSION": version, "POSTPROCESSING_HOOKS": HOOKS, **options}),
        override_settings(ASYNC_EXCHANGE=exchange(VIEWS=["listed", "/api/wild/*"], DIALECTS=dialects)),
    ):
        return json.loads(json.dumps(SchemaGenerator(api_version="v1").get_schema(public=True)))


def triggers(operation: dict[str, Any]) -> set[str]:
    return {each["name"] for each in operation.get("parameters", [])} & {"Prefer", "async", "Solitude-Async"}


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    with override_settings(ROOT_URLCONF=__name__):
        return generated()


def test_document_is_valid(site):
    OpenAPIV31SpecValidator(site).validate()


def test_document_in_openapi_3_0_is_valid_and_has_webhooks_as_an_extension():
    content = generated("3.0.3")
    OpenAPIV30SpecValidator(content).validate()
    assert "webhooks" not in content
    assert "prefer_processed" in content["x-webhooks"]


def test_marked_view_has_the_triggers_of_the_dialects_that_take_it(site):
    paths = site["paths"]["/api/marked/"]
    assert triggers(paths["get"]) == {"Prefer"}
    assert triggers(paths["post"]) == {"Prefer", "Solitude-Async"}


def test_view_that_is_not_marked_has_no_preference(site):
    assert triggers(site["paths"]["/api/plain/"]["get"]) == set()
    assert "202" not in site["paths"]["/api/plain/"]["get"]["responses"]


def test_view_that_is_never_asynchronous_has_no_trigger(site):
    assert triggers(site["paths"]["/api/never/"]["post"]) == set()
    assert "/async_api/never/" not in site["paths"]


@pytest.mark.parametrize("path", ["/api/listed/", "/api/wild/{id}/", "/api/rows/", "/api/v1/versioned/"])
def test_view_that_is_listed_marked_by_action_or_versioned_has_the_preference(site, path):
    assert triggers(site["paths"][path]["get"]) == {"Prefer"}


def test_function_view_has_the_preference(site):
    assert "Prefer" in triggers(site["paths"]["/api/function/"]["post"])


def test_action_without_a_mark_has_no_preference(site):
    assert triggers(site["paths"]["/api/rows/{id}/"]["get"]) == set()


def test_202_leads_to_status_result_and_cancel(site):
    accepted = site["paths"]["/api/listed/"]["get"]["responses"]["202"]
    assert {"Location", "Operation-Location", "Retry-After", "Preference-Applied"} <= accepted["headers"].keys()
    links = accepted["links"]
    ids = {each["operationId"] for item in site["paths"].values() for each in item.values()}
    assert {link["operationId"] for link in links.values()} == {"prefer_status", "prefer_result", "prefer_cancel"}
    assert {link["operationId"] for link in links.values()} <= ids
    assert {link["parameters"]["id"] for link in links.values()} == {"$response.body#/id"}


def test_responses_of_the_view_with_the_same_status_are_kept(site):
    responses = site["paths"]["/api/marked/"]["get"]["responses"]
    alternatives = responses["202"]["content"]["application/json"]["schema"]["anyOf"]
    assert alternatives == [{"$ref": "#/components/schemas/Row"}, {"$ref": "#/components/schemas/PreferTask"}]
    assert responses["429"]["content"].keys() == {"application/json", "application/problem+json"}


def test_header_of_one_of_two_responses_is_not_required(site):
    headers = site["paths"]["/api/marked/"]["get"]["responses"]["202"]["headers"]
    assert not any("required" in header for header in headers.values())


def test_accepted_call_is_a_long_running_operation(site):
    operation = site["paths"]["/api/listed/"]["get"]
    assert operation["x-ms-long-running-operation"] is True
    assert operation["x-ms-long-running-operation-options"] == {"final-state-via": "location"}


def test_callback_is_described_where_the_call_names_it(site):
    [callback] = site["paths"]["/api/listed/"]["get"]["callbacks"].values()
    assert callback["{$request.header.Prefer}"]["post"]["requestBody"]


def test_dialect_that_is_triggered_by_the_path_has_paths_of_its_own(site):
    later = site["paths"]["/async_api/plain/"]["post"]
    assert {"X-Callback-Location", "X-Callback-Method"} <= {each["name"] for each in later["parameters"]}
    assert "200" not in later["responses"]
    assert later["requestBody"] == site["paths"]["/api/plain/"]["post"]["requestBody"]
    assert "{$request.header.X-Callback-Location}" in next(iter(later["callbacks"].values()))


def test_task_addresses_are_in_the_document(site):
    assert {"/async/tasks", "/async/tasks/{id}", "/async/tasks/{id}/result"} <= site["paths"].keys()
    assert {"PreferTask", "PreferError"} <= site["components"]["schemas"].keys()


def test_trimmed_paths_have_triggers_and_task_addresses_their_own_server():
    content = generated(SCHEMA_PATH_PREFIX="/api", SCHEMA_PATH_PREFIX_TRIM=True)
    assert triggers(content["paths"]["/listed/"]["get"]) == {"Prefer"}
    assert content["paths"]["/async/tasks/{id}"]["get"]["servers"] == [{"url": "/"}]


@pytest.mark.parametrize("name", ["Basic", "Token", "Session"])
def test_generating_gives_no_warnings(capsys, name):
    classes = [f"rest_framework.authentication.{name}Authentication"]
    with override_settings(
        REST_FRAMEWORK={**settings.REST_FRAMEWORK, "DEFAULT_AUTHENTICATION_CLASSES": classes},
    ):
        generated()
    assert capsys.readouterr().err == ""
