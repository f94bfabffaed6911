"""Cisco's call types, immediately and deferred, in XML and in JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import requests

from .conftest import Project, Site
from .idle import idle_copy

CALL_TYPES = "/unifiedconfig/config/calltype"
XML, JSON = "application/xml", "application/json"
OF_THE_CONNECTION = ("Date", "Server", "Connection")
EXPANDING = '<!DOCTYPE callType [<!ENTITY n "Sales">]><callType><name>&n;</name></callType>'
READING = '<!DOCTYPE callType [<!ENTITY n SYSTEM "file:///secret">]><callType><name>&n;</name></callType>'
OUT_OF_RANGE = {
    "errorData": "serviceLevelThreshold",
    "errorMessage": "Ensure this value is greater than or equal to 0.",
    "errorType": "invalidInput.outOfRange",
}


def a_call_type(**changes: Any) -> dict[str, Any]:
    return {"name": f"Sales_{uuid.uuid4().hex[:16]}.1", "description": "Who wants to buy", **changes}


def written(fields: dict[str, Any], media: str) -> str:
    if media == JSON:
        return json.dumps(fields)
    root = ElementTree.Element("callType")
    for name, text in fields.items():
        ElementTree.SubElement(root, name).text = str(text)
    return ElementTree.tostring(root, encoding="unicode")


def read(answer: requests.Response) -> dict[str, Any]:
    """The fields of a response, as strings."""
    media = answer.headers["Content-Type"].partition(";")[0]
    if media == JSON:
        return {name: str(value) for name, value in answer.json().items()}
    root = ElementTree.fromstring(answer.content)
    assert root.tag in ("callType", "asyncResult")
    return {child.tag: child.text or "" for child in root}


def send(site: Site, method: str, path: str, fields: Any = None, media: str = JSON) -> requests.Response:
    """A call whose body and accepted response have the same media type."""
    body = written(fields, media) if isinstance(fields, dict) else fields
    return site.call(method, path, data=body, headers={"Content-Type": media, "Accept": media})


def later(site: Site, method: str, path: str, fields: Any = None, media: str = JSON) -> requests.Response:
    """The same call, asynchronous and polled to its end."""
    accepted = send(site, method, f"{path}?async=true", fields, media)
    assert accepted.status_code == 202, accepted.text
    assert read(accepted) == {"progress": "IN_QUEUE"}
    return polled(site, accepted)


def polled(site: Site, accepted: requests.Response) -> requests.Response:
    """The final response to an accepted call, whatever it is."""
    return site.until(lambda: site.get(accepted.headers["Location"]), lambda answer: answer.status_code != 202)


def created(site: Site, media: str = JSON, **changes: Any) -> tuple[str, dict[str, Any]]:
    """(URL, fields) of a new call type."""
    fields = a_call_type(**changes)
    answer = send(site, "POST", CALL_TYPES, fields, media)
    assert (answer.status_code, answer.content) == (201, b"")
    return answer.headers["Location"], fields


def visible(answer: requests.Response) -> dict[str, str]:
    """The headers that are not the connection's own."""
    return {name: text for name, text in answer.headers.items() if name not in OF_THE_CONNECTION}


@pytest.mark.seed("S003-1")
@pytest.mark.parametrize("media", [XML, JSON])
def test_call_type_is_created_changed_and_deleted(site: Site, media: str) -> None:
    address, fields = created(site, media, serviceLevelThreshold=20)
    ref = {"refURL": address.removeprefix(site.address)}
    assert read(send(site, "GET", address, media=media)) == ref | fields | {"serviceLevelThreshold": "20"}
    changed = send(site, "PUT", address, {"name": fields["name"], "serviceLevelThreshold": 0}, media)
    assert (changed.status_code, changed.content) == (200, b"")
    assert read(send(site, "GET", address, media=media)) == ref | fields | {"serviceLevelThreshold": "0"}
    deleted = send(site, "DELETE", address)
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert send(site, "GET", address).status_code == 404


def test_empty_xml_element_clears_its_field(site: Site) -> None:
    address, fields = created(site, XML, serviceLevelThreshold=20)
    emptied = f"<callType><name>{fields['name']}</name><description/><serviceLevelThreshold/></callType>"
    assert send(site, "PUT", address, emptied, XML).status_code == 200
    left = {"name": fields["name"], "refURL": address.removeprefix(site.address)}
    assert read(send(site, "GET", address)) == left | {"description": ""}


def test_unknown_fields_are_ignored(site: Site) -> None:
    for media in (XML, JSON):
        address, fields = created(site, media, changeStamp=7)
        assert "changeStamp" not in read(send(site, "GET", address))


def test_list_repeats_an_element(site: Site) -> None:
    address, fields = created(site)
    listed = site.get(CALL_TYPES).json()["callType"]
    [one] = [row for row in listed if row["name"] == fields["name"]]
    assert one == fields | {"refURL": address.removeprefix(site.address)}
    root = ElementTree.fromstring(send(site, "GET", CALL_TYPES, media=XML).content)
    assert (root.tag, {child.tag for child in root}) == ("callTypes", {"callType"})
    assert fields["name"] in [child.findtext("name") for child in root]


def test_body_and_response_may_have_different_media_types(site: Site) -> None:
    body = written(a_call_type(serviceLevelThreshold=-1), XML)
    answer = site.call("POST", CALL_TYPES, data=body, headers={"Content-Type": XML, "Accept": JSON})
    assert answer.json() == {"apiError": [OUT_OF_RANGE]}


def test_characters_not_allowed_in_xml_are_replaced(site: Site) -> None:
    address, _ = created(site, description="a\x01b")
    assert read(send(site, "GET", address, media=XML))["description"] == "a\ufffdb"


@pytest.mark.parametrize(
    ("fields", "field", "kind"),
    [
        ({"name": "a b"}, "name", "invalidValue"),
        ({"name": "Näme"}, "name", "invalidValue"),
        ({"name": "a" * 33}, "name", "tooLong"),
        ({"description": "nameless"}, "name", "fieldRequired"),
        ({"name": "Sales", "serviceLevelThreshold": "soon"}, "serviceLevelThreshold", "invalidValue"),
        ({"name": "Sales", "serviceLevelThreshold": 2**31}, "serviceLevelThreshold", "outOfRange"),
    ],
)
def test_invalid_fields_are_named(site: Site, fields: dict[str, Any], field: str, kind: str) -> None:
    answer = send(site, "POST", CALL_TYPES, fields)
    [error] = answer.json()["apiError"]
    assert (answer.status_code, error["errorData"], error["errorType"]) == (400, field, f"invalidInput.{kind}")


def test_name_is_unique(site: Site) -> None:
    _, fields = created(site)
    [error] = send(site, "POST", CALL_TYPES, fields).json()["apiError"]
    assert (error["errorData"], error["errorType"]) == ("name", "invalidInput.duplicateName")


@pytest.mark.parametrize(
    "body", [EXPANDING, READING, "<callType><name>", "<other/>", "", "<?xml version='1.0' encoding='x'?><a/>"]
)
@pytest.mark.parametrize("suffix", ["", "?async=true"])
def test_dangerous_or_malformed_xml_is_refused(site: Site, body: str, suffix: str) -> None:
    answer = send(site, "POST", CALL_TYPES + suffix, body, XML)
    root = ElementTree.fromstring(answer.content)
    assert (answer.status_code, root.tag) == (400, "apiErrors")
    assert root.findtext("apiError/errorType") in ("invalidInput.malformed", "invalidInput.fieldRequired")


@pytest.mark.parametrize(
    ("method", "path", "media", "status", "kind"),
    [
        ("GET", f"{CALL_TYPES}/123456789", JSON, 404, "invalidInput.notFound"),
        ("PATCH", f"{CALL_TYPES}/1", JSON, 405, "invalidInput.methodNotAllowed"),
        ("PATCH", f"{CALL_TYPES}/1?async=true", JSON, 405, "invalidInput.methodNotAllowed"),
        ("POST", CALL_TYPES, "text/plain", 415, "invalidInput.mediaType"),
    ],
)
def test_other_errors_have_the_same_shape(
    site: Site, method: str, path: str, media: str, status: int, kind: str
) -> None:
    answer = site.call(method, path, data="{}", headers={"Content-Type": media})
    [error] = answer.json()["apiError"]
    assert (answer.status_code, error["errorType"]) == (status, kind)


def test_wrong_token_is_401_immediately(site: Site) -> None:
    for suffix in ("", "?async=true"):
        answer = site.call("POST", CALL_TYPES + suffix, "wrong", json=a_call_type())
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["apiError"][0]["errorType"] == "access.unauthorized"


@pytest.mark.seed("S003-8")
@pytest.mark.parametrize("suffix", ["", "?async=true"])
def test_negative_threshold_is_refused_immediately(site: Site, suffix: str) -> None:
    fields = a_call_type(serviceLevelThreshold=-1)
    as_json = send(site, "POST", CALL_TYPES + suffix, fields)
    assert (as_json.status_code, as_json.json()) == (400, {"apiError": [OUT_OF_RANGE]})
    as_xml = send(site, "POST", CALL_TYPES + suffix, fields, XML)
    [error] = ElementTree.fromstring(as_xml.content)
    assert (as_xml.status_code, {part.tag: part.text for part in error}) == (400, OUT_OF_RANGE)
    assert "Location" not in as_json.headers


@pytest.mark.seed("S003-2", "S003-4", "S003-7", "S003-10", "S003-11", "S003-12", "S003-13", "S003-14", "S003-17")
@pytest.mark.parametrize("media", [XML, JSON])
def test_call_type_is_created_deferred(worked: Site, media: str) -> None:
    fields = a_call_type()
    answer = later(worked, "POST", CALL_TYPES, fields, media)
    assert (answer.status_code, answer.content) == (201, b"")
    assert read(send(worked, "GET", answer.headers["Location"], media=media)).items() >= fields.items()


@pytest.mark.seed("S003-5", "S003-16", "S003-18")
@pytest.mark.parametrize("media", [XML, JSON])
def test_call_type_is_changed_deferred(worked: Site, media: str) -> None:
    address, fields = created(worked)
    answer = later(worked, "PUT", address, fields | {"serviceLevelThreshold": 30}, media)
    assert (answer.status_code, answer.content) == (200, b"")
    assert worked.get(address).json()["serviceLevelThreshold"] == 30
    at_once = send(worked, "PUT", address, fields | {"serviceLevelThreshold": 30}, media)
    assert (at_once.status_code, at_once.content) == (200, b"")
    assert visible(at_once).items() <= visible(answer).items()


@pytest.mark.seed("S003-6", "S003-19")
def test_call_type_is_deleted_deferred(worked: Site) -> None:
    address, _ = created(worked)
    answer = later(worked, "DELETE", address)
    assert (answer.status_code, answer.content) == (200, b"")
    assert worked.get(address).status_code == 404


@pytest.fixture
def idle(project: Project, tmp_path: Path, free_port: int) -> Iterator[tuple[Project, Site]]:
    with idle_copy(project, tmp_path, free_port) as copy_and_site:
        yield copy_and_site


@pytest.mark.seed("S003-15", "S003-16", "S003-20")
def test_deferred_update_that_fails_returns_its_error(idle: tuple[Project, Site]) -> None:
    project, site = idle
    address, _ = created(site)
    fields = a_call_type()
    accepted = [send(site, "PUT", f"{address}?async=true", fields, media) for media in (XML, JSON)]
    for media in (XML, JSON):
        waiting = site.get(accepted[0].headers["Location"], headers={"Accept": media})
        assert (waiting.status_code, read(waiting)) == (202, {"progress": "IN_QUEUE"})
        assert waiting.headers["Location"] == accepted[0].headers["Location"]
    send(site, "POST", CALL_TYPES, fields)
    with project.running("asyncexchange_worker"):
        ends = [polled(site, answer) for answer in accepted]
    at_once = [send(site, "PUT", address, fields, media) for media in (XML, JSON)]
    assert ends[1].json()["apiError"][0]["errorType"] == "invalidInput.duplicateName"
    for end, original in zip(ends, at_once, strict=True):
        assert (end.status_code, end.content) == (400, original.content)
        assert visible(original).items() <= visible(end).items()


@pytest.mark.seed("S003-3")
def test_several_calls_may_be_outstanding(worked: Site) -> None:
    accepted = [send(worked, "POST", f"{CALL_TYPES}?async=true", a_call_type()) for _ in range(10)]
    assert {answer.status_code for answer in accepted} == {202}
    assert {polled(worked, answer).status_code for answer in accepted} == {201}


def test_unknown_call_type_is_404_immediately(site: Site) -> None:
    for method in ("PUT", "DELETE"):
        assert send(site, method, f"{CALL_TYPES}/123456789?async=true", a_call_type()).status_code == 404


def test_migrations_are_complete(project: Project) -> None:
    assert "No changes" in project.manage("makemigrations", "--check", "calltypes")
