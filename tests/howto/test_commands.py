"""Every command in README and documentation exists, and takes the arguments shown."""

from __future__ import annotations

import argparse
import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest
from celery.bin.worker import worker as celery_worker
from django.conf import settings
from django.core.management import find_commands
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.test import override_settings

from django_asyncexchange.client import __main__ as client

from .test_blocks import DOCUMENTS

OURS = "django_asyncexchange"
APPS = (
    OURS,
    "django.core",
    "django.contrib.auth",
    "rest_framework.authtoken",
    "django_q",
    "django_tasks_db",
    "drf_spectacular",
)
"""Whose commands the documentation names."""
IN_TEXT = re.compile(r"``(?:python )?(?:manage\.py\s+(\w[^`]*)|((?:asyncexchange_|db_worker|qcluster|celery )[^`]*))``")
IN_BLOCK = re.compile(r"(?m)^ +python manage\.py (.+?)(?: +#.*| > \S+)?$")
CLIENT = "python -m django_asyncexchange.client"
OPTION = re.compile(r"``(--[a-z-]+)")


def named(page: Path) -> set[str]:
    """Commands with their arguments, from texts and blocks."""
    text = page.read_text(encoding="utf-8")
    found = {first or second for first, second in IN_TEXT.findall(text)} | set(IN_BLOCK.findall(text))
    return {" ".join(words.split()) for words in found}


@functools.cache
def command(name: str) -> BaseCommand:
    [app] = [app for app in APPS if name in commands(app)]
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "django_tasks_db"]):
        made: BaseCommand = importlib.import_module(f"{app}.management.commands.{name}").Command()
    return made


def commands(app: str) -> list[str]:
    [folder] = importlib.import_module(app).__path__
    return find_commands(f"{folder}/management")


def parser(name: str) -> CommandParser:
    made = command(name).create_parser("manage.py", name)
    for action in made._actions:
        action.default = argparse.SUPPRESS  # defaults depend on the settings: db_worker's backend, for one
    return made


def takes(name: str, arguments: list[str]) -> None:
    if name == "celery":
        known = {option for parameter in celery_worker.params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("-")} <= known
    elif arguments:
        parser(name).parse_args(arguments)
    else:
        assert command(name)  # a text that names a command need not show arguments


ALL = sorted((page.stem, words) for page in DOCUMENTS for words in named(page))


@pytest.mark.parametrize("words", sorted({words for _, words in ALL}))
def test_command_exists_and_takes_its_arguments(words):
    name, *arguments = shlex.split(words)
    takes(name, arguments)


HOWTO = [pytest.param(page, id=page.stem) for page in DOCUMENTS if page.parent.name == "howto"]


@pytest.mark.parametrize("page", HOWTO)
def test_option_in_a_text_belongs_to_a_command_of_its_page(page):
    names = {words.split()[0] for words in named(page)} - {"celery"}
    known = {option for name in names for option in parser(name)._option_string_actions}
    if CLIENT in page.read_text(encoding="utf-8"):
        known |= set(client.parser()._option_string_actions)
    assert set(OPTION.findall(page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize(
    "words", ["asyncexchange_worker --grase 60", "asyncexchange_prune anna", "celery worker --cue x"]
)
def test_wrong_argument_is_noticed(words):
    name, *arguments = words.split()
    with pytest.raises((CommandError, SystemExit, AssertionError)):
        takes(name, arguments)


def test_each_command_of_this_app_is_documented():
    assert set(commands(OURS)) <= {words.split()[0] for _, words in ALL}
