"""Validators and linters find nothing in the document."""

from __future__ import annotations

import json
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from .conftest import Node


def test_document_is_valid(document: Path) -> None:
    assert list(OpenAPIV31SpecValidator(json.loads(document.read_text(encoding="utf-8"))).iter_errors()) == []


def test_spectral_finds_nothing(document: Path, node: Node) -> None:
    node.run("spectral", "lint", str(document), "--ruleset", "spectral.yaml", "--fail-severity", "hint")


def test_redocly_finds_nothing(document: Path, node: Node) -> None:
    told = node.run("redocly", "lint", str(document), "--config", "redocly.yaml")
    assert "Your API description is valid" in told
    assert "warning" not in told
