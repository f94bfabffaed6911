"""The webhook samples of both documentations: what is sent, what is answered, and what is delivered."""

from __future__ import annotations

import datetime as dt
import json
import uuid

import pytest

from django_asyncexchange.dialects.moysklad import webhooks
from django_asyncexchange.dialects.moysklad.webhooks import WebhookEntity
from django_asyncexchange.protocol.values import Event, Owner, Subscription

from .contract import context, snapshot

HOSTS = ["https://api.moysklad.ru/api/remap/1.2", "https://app.kladana.in/api/remap/1.2"]
OWNER = Owner(account="6c240ac7-a683-11eb-ac12-000c00000000", kind="employee", id="7")

REQUEST = """
{
          "url": "http://some_url.ru",
          "action": "PROCESSED",
          "entityType": "async"
      }
"""
ANSWER = """
{
    "meta": {
        "href": "{base}/entity/webhook/c6010bf9-a683-11eb-ac12-000900000001",
        "metadataHref": "{base}/entity/webhook/metadata",
        "type": "webhook",
        "mediaType": "application/json"
    },
    "id": "c6010bf9-a683-11eb-ac12-000900000001",
    "accountId": "6c240ac7-a683-11eb-ac12-000c00000000",
    "entityType": "async",
    "url": "http://some_url.ru",
    "method": "POST",
    "enabled": true,
    "action": "PROCESSED"
}
"""
"""Kladana's has two slashes in one of its addresses, and means one (contract (a)37)."""
MESSAGE = """
{
  "events": [
    {
      "meta": {
        "type": "async",
        "href": "{base}/async/91adc76b-a71c-11eb-ac12-000e00000000"
      },
      "action": "PROCESSED",
      "accountId": "6c240ac7-a683-11eb-ac12-000c00000000"
    }
  ]
}
"""


def shown(text: str, base: str) -> str:
    """A documented document in its order of fields."""
    return json.dumps(json.loads(text.replace("{base}", base)))


@pytest.mark.seed("S001-48", "S001-50", "S001-51", "S001-52", "S002-57", "S002-58")
@pytest.mark.parametrize("base", HOSTS)
def test_documented_request_gets_the_documented_answer(base: str) -> None:
    entity = WebhookEntity()
    fields = entity.parse(json.loads(REQUEST), None)
    made = Subscription(
        id=uuid.UUID("c6010bf9-a683-11eb-ac12-000900000001"),
        owner=OWNER,
        action=fields.action or "",
        url=fields.url or "",
        created=dt.datetime(2021, 4, 26, tzinfo=dt.UTC),
    )
    assert json.dumps(entity.document(made, context(base=base))) == shown(ANSWER, base)


@pytest.mark.seed("S001-53", "S002-55", "S002-59", "S002-60")
@pytest.mark.parametrize("base", HOSTS)
def test_documented_message_is_sent(base: str) -> None:
    task = snapshot(id=uuid.UUID("91adc76b-a71c-11eb-ac12-000e00000000"), owner=OWNER)
    event = Event(action="PROCESSED", task=task, base=base)
    notice = webhooks.notification(event, "http://some_url.ru", uuid.UUID(int=7))
    assert notice.body == shown(MESSAGE, base)
    assert (notice.method, notice.url) == ("POST", f"http://some_url.ru?requestId={uuid.UUID(int=7)}")
