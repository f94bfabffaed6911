"""Files in the how-to's are checked by the programs that read them: nginx, systemd, PostgreSQL, an S3 bucket."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import subprocess
import sys

import boto3
import psycopg
import pytest
import requests
import yaml
from moto import mock_aws
from psycopg import sql

from django_asyncexchange.management.commands.asyncexchange_worker import Command

from ..newcomer import PATIENCE, PAUSE, free_port
from ..responses.test_conditional import SANDBOX
from ..services import until
from .programs import nginx, program
from .reader import more, shown

pytestmark = [pytest.mark.full, pytest.mark.slow, pytest.mark.xdist_group("first-hour")]


# nginx ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def front(reader, tmp_path_factory):
    """The project behind nginx, each as the page about storage says."""
    program("nginx")
    settings = "from .settings import *\n" + more(shown("storing-and-serving-results", '"SENDFILE": True'))
    (reader.home / "myproject" / "sendfile.py").write_text(reader.localized(settings), encoding="utf-8")
    with reader.beside(settings="myproject.sendfile") as front:
        front.enter("pip install django-asyncexchange[sendfile]")
        front.enter("python manage.py runserver")
        behind, front.port = front.port, free_port()
        through = f"location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_set_header Host $http_host; }}"
        location = front.localized(shown("storing-and-serving-results", "location /"))
        with nginx(tmp_path_factory.mktemp("nginx"), front.port, through + location):
            yield front


@pytest.fixture(scope="module")
def link(front):
    """A link to a file."""
    result = front.accepted("/api/remap/1.2/report/large?async=true")
    return until(lambda: redirected(front.call("GET", result, allow_redirects=False)), PATIENCE, PAUSE)


def redirected(response):
    return response.headers["Location"] if response.status_code == 302 else None


def test_nginx_sends_the_file_of_a_link(link):
    assert json.loads(requests.get(link, timeout=PATIENCE).content)["rows"][-1] == 19_999


def test_nginx_sends_a_range_with_the_sandbox_headers(link):
    part = requests.get(link, headers={"Range": "bytes=0-7"}, timeout=PATIENCE)
    assert (part.status_code, part.content) == (206, b'{"rows":')
    assert SANDBOX.items() <= dict(part.headers).items()


def test_nginx_sends_no_file_without_a_link(front, link):
    [file, *_] = [file for file in (front.home / "results").rglob("*") if file.is_file()]
    assert front.call("GET", f"/{file.relative_to(front.home)}").status_code == 404


# systemd and containers -----------------------------------------------------------------------------------------------


def test_systemd_verifies_the_unit(tmp_path):
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    unit = tmp_path / "myproject.service"
    shown_unit = shown("deployment", "[Unit]").replace("/srv/myproject", str(tmp_path))
    unit.write_text(shown_unit.replace("User=myproject", f"User={getpass.getuser()}"), encoding="utf-8")
    done = subprocess.run([program("systemd-analyze"), "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def commands() -> tuple[list[str], list[str]]:
    """What the image starts, and what it asks."""
    image = shown("deployment", "FROM python").replace("\\\n", "")
    run, check = (json.loads(found) for found in re.findall(r"CMD (\[.+\])", image))
    return run, check


def test_container_is_healthy_while_its_command_runs(reader):
    _, check = commands()

    assert until(lambda: reader.shell(f"{shlex.join(check)} && echo well || true"), PATIENCE, PAUSE) == "well\n"


def test_kubernetes_runs_and_checks_the_same_commands_as_the_image():
    run, check = commands()
    [container] = yaml.safe_load(shown("deployment", "# Kubernetes"))["spec"]["containers"]
    assert container["args"] == run
    assert container["startupProbe"]["exec"]["command"] == container["livenessProbe"]["exec"]["command"] == check


def test_stop_timeouts_are_longer_than_the_workers_grace():
    unit = shown("deployment", "[Unit]")
    pod = yaml.safe_load(shown("deployment", "# Kubernetes"))["spec"]
    service = yaml.safe_load(shown("deployment", "# compose.yaml"))["services"]["worker"]
    [words] = re.findall(r"ExecStart=\S+ (.+)", unit)
    run, _ = commands()
    assert run[1:] == words.split()
    grace = Command().create_parser("manage.py", run[2]).parse_args(run[3:]).grace
    [stop] = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert grace < int(stop) == pod["terminationGracePeriodSeconds"] == int(service["stop_grace_period"].rstrip("s"))


# Servers --------------------------------------------------------------------------------------------------------------


@pytest.mark.service
def test_postgresql_accepts_each_line_of_its_configuration(postgres_url):
    lines = [line.partition("#")[0].strip() for line in shown("deployment", "# postgresql.conf").splitlines()]
    pairs = [line.split(" = ") for line in lines if line]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name, value in pairs:
            connection.execute(sql.SQL("SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    assert len(pairs) == 4


def test_s3_accepts_the_lifecycle_rules():
    rules = json.loads(shown("storing-and-serving-results", '"Rules"'))
    keys = {"aws_access_key_id": "anybody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
    with mock_aws():
        bucket = boto3.client("s3", **keys)
        bucket.create_bucket(Bucket="myproject-results")
        bucket.put_bucket_lifecycle_configuration(Bucket="myproject-results", LifecycleConfiguration=rules)
        assert bucket.get_bucket_lifecycle_configuration(Bucket="myproject-results")["Rules"] == rules["Rules"]
