"""Migrations can be applied while web servers of the former release run: docs/howto/upgrading.rst."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from django.db.migrations import operations

from django_asyncexchange import migrations

FIRST_RELEASE = "0004_turns"
"""The last migration of 0.1.0."""
HARMLESS = (
    operations.AddConstraint,
    operations.AddField,
    operations.AddIndex,
    operations.AlterField,
    operations.CreateModel,
    operations.RemoveIndex,
)
LATER = [
    pytest.param(operation, id=f"{name}-{number}")
    for name in sorted(module.name for module in pkgutil.iter_modules(migrations.__path__))
    if name > FIRST_RELEASE
    for number, operation in enumerate(importlib.import_module(f"{migrations.__name__}.{name}").Migration.operations)
]


@pytest.mark.parametrize("operation", LATER)
def test_operation_takes_nothing_away(operation):
    assert isinstance(operation, HARMLESS)


@pytest.mark.parametrize("operation", LATER)
def test_added_column_can_be_left_out_of_an_insert(operation):
    if isinstance(operation, operations.AddField):
        assert operation.field.null or operation.field.has_db_default()
