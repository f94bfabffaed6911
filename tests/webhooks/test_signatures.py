from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from django_asyncexchange.protocol.address_rules import Rules
from django_asyncexchange.webhooks import signatures
from django_asyncexchange.webhooks.transport import OutgoingRequest, send

from ..conftest import unavailable
from ..services import until

KNOWN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = '{"test": 2432232314}'

VERIFY = """
const { Webhook } = require("standardwebhooks");
const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(new Webhook(secret).verify(body, headers)));
"""


def now():
    return dt.datetime.now(dt.UTC)


def signed(*secrets, body=BODY, at=None):
    return dict(signatures.sign(secrets, id=ID, at=at or now(), body=body))


def test_signature_matches_the_specification():
    headers = signed(KNOWN, at=dt.datetime.fromtimestamp(1614265330, dt.UTC))
    assert headers == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_time_zone_does_not_change_the_signature():
    moment = now()
    assert signed(KNOWN, at=moment.astimezone(dt.timezone(dt.timedelta(hours=5)))) == signed(KNOWN, at=moment)


@pytest.mark.parametrize("wrong", [{"at": dt.datetime(2026, 1, 1)}, {"body": b"{}"}])
def test_naive_time_and_bytes_body_are_refused(wrong):
    with pytest.raises(TypeError):
        signatures.sign([KNOWN], **{"id": ID, "at": now(), "body": BODY, **wrong})


def test_new_secret_is_32_random_bytes():
    made = {signatures.new_secret() for _ in range(50)}
    assert len(made) == 50
    assert {len(base64.b64decode(secret.removeprefix("whsec_"))) for secret in made} == {32}


def test_both_secrets_verify_during_a_rotation():
    old, new, other = (signatures.new_secret() for _ in range(3))
    headers = signed(new, old)
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(BODY, headers)


# Receivers ------------------------------------------------------------------------------------------------------------

HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "webhooks.rst"


def documented(name):
    """The receiver in the documentation whose first line is ``name``."""
    [block] = re.findall(
        rf"^   (?:#|//) {re.escape(name)}\n(?:   .*\n|\n)+", HOWTO.read_text(encoding="utf-8"), re.MULTILINE
    )
    return textwrap.dedent(block)


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    """A directory where Node.js finds the npm package ``standardwebhooks``."""
    npm = shutil.which("npm") or unavailable("npm is not installed")
    home = tmp_path_factory.mktemp("npm")
    install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "standardwebhooks@1.1.1"]
    done = subprocess.run(install, cwd=home, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        unavailable(f"npm's registry has not given standardwebhooks: {done.stderr}")
    return home


@pytest.mark.service
def test_node_library_verifies_the_signature(node):
    old, new, other = (signatures.new_secret() for _ in range(3))
    body = '{"text": "Привет, \\u0000 ✓"}'
    for secret in (old, new, other):
        told = json.dumps({"secret": secret, "headers": signed(new, old, body=body), "body": body})
        out = subprocess.run(["node", "-e", VERIFY], cwd=node, input=told, capture_output=True, text=True)
        if secret is other:
            assert "No matching signature" in out.stderr
        else:
            assert json.loads(out.stdout) == json.loads(body)


@contextlib.contextmanager
def running(command, place, secret, port):
    """Run a documented receiver; yields a list that has its output in the end."""
    environment = {**os.environ, "PORT": str(port), "WEBHOOK_SECRET": secret}
    printed = []
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as receiver:
        try:
            until(lambda: receiver.poll() is not None or _listens(port))
            yield printed
        finally:
            receiver.terminate()
            printed += receiver.communicate()[0].decode().splitlines()


def _listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.service
@pytest.mark.parametrize(("name", "program"), [("receiver.py", sys.executable), ("receiver.js", "node")])
def test_documented_receivers_accept_a_message_once(name, program, node, free_port):
    (node / name).write_text(documented(name))
    old, new = signatures.new_secret(), signatures.new_secret()
    body = json.dumps({"type": "task.processed", "data": {"id": "7", "state": "DONE"}})

    def status(headers, body=body):
        rules = Rules(ports=(free_port,), networks=("127.0.0.0/8",))
        headers = (*headers.items(), ("Content-Type", "application/json"))
        url = f"http://127.0.0.1:{free_port}/hooks"
        return send(OutgoingRequest(method="POST", url=url, headers=headers, body=body.encode(), rules=rules)).status

    with running([program, name], node, old, free_port) as printed:
        assert status(signed(old, body=body)) == status(signed(new, old, body=body)) == 204
        assert status(signed(new, body=body)) == 400
        assert status(signed(old, body=body), body.replace("7", "8")) == 400
        assert status(signed(old, body=body, at=now() - dt.timedelta(minutes=6))) == 400
        assert status({"webhook-id": "é", "webhook-timestamp": "x", "webhook-signature": "v1,="}) == 400
        assert status({}) == 400
    assert printed == ["task.processed 7 DONE"]
