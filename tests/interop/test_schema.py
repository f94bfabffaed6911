"""drf-spectacular."""

from __future__ import annotations

import yaml
from django.core.management import call_command

from .calls import twice


def test_deferred_schema_is_the_same(client):
    calls = twice(client, "/api/schema/")
    assert calls.is_equal
    assert calls.later["Content-Type"].startswith("application/vnd.oai.openapi")


def test_schema_has_no_task_paths_and_no_warnings_of_ours(tmp_path, transactional_db, capsys):
    call_command("spectacular", file=tmp_path / "schema.yml")
    told = capsys.readouterr().err
    paths = yaml.safe_load((tmp_path / "schema.yml").read_text())["paths"]
    assert "/api/notes/" in paths
    assert not [path for path in paths if path.startswith("/async")]
    assert "asyncexchange" not in told
