"""The Russian translation: complete, compiled, and chosen by Accept-Language."""

from __future__ import annotations

import ast
import re
import string
import uuid
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.test import Client
from django.utils import translation
from django.utils.translation.template import templatize

import django_asyncexchange
from django_asyncexchange.conf import conf

from .dialects.contract import error_classes

PACKAGE = Path(django_asyncexchange.__file__).parent
CATALOG = PACKAGE / "locale" / "ru" / "LC_MESSAGES" / "django.po"
ENTRIES = list(polib.pofile(str(CATALOG)))

MARKS = {"_": 1, "gettext": 1, "gettext_lazy": 1, "gettext_noop": 1, "ngettext": 2, "ngettext_lazy": 2}
"""Function → how many of its first arguments are texts."""
CALL = re.compile(r"""\b(?:n?gettext|_)\((?:u?(?:'(?:\\.|[^'])*'|"(?:\\.|[^"])*"),?\s*)+""")
"""A marked text in what Django makes of a template."""

ENGLISH = "There is no such asynchronous task."
RUSSIAN = "Такой асинхронной задачи нет."


def in_python() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MARKS:
                for argument in node.args[: MARKS[node.func.id]]:
                    if isinstance(argument, ast.Constant):
                        yield argument.value


def in_templates() -> Iterator[str]:
    for path in PACKAGE.rglob("templates/**/*.html"):
        for call in CALL.findall(templatize(path.read_text(encoding="utf-8"), origin=path.name)):
            parsed = ast.parse(f"{call.rstrip(', ')})", mode="eval").body
            assert isinstance(parsed, ast.Call)
            yield from map(ast.literal_eval, parsed.args)


def of_dialects() -> Iterator[str]:
    return (wire.text for dialect in conf.mounts for wire in dialect.CODES.values() if wire.text)


def of_exceptions() -> Iterator[str]:
    return (cls.message for cls in error_classes())


SOURCES = [in_python, in_templates, of_dialects, of_exceptions]


def msgids() -> set[str]:
    return {text for entry in ENTRIES for text in (entry.msgid, entry.msgid_plural) if text}


def placeholders(text: str) -> list[str]:
    named = re.findall(r"%\(\w+\)[a-z]", text)
    braced = [f"{{{name}}}" for _text, name, _spec, _conversion in string.Formatter().parse(text) if name is not None]
    return sorted(named + braced)


def translations(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


@pytest.mark.parametrize("source", SOURCES)
def test_every_text_is_in_the_catalog(source):
    texts = set(source())
    assert texts
    assert texts - msgids() == set()


def test_catalog_has_no_other_texts():
    assert msgids() - {text for source in SOURCES for text in source()} == set()


def test_catalog_has_language_charset_and_plural_forms():
    header = polib.pofile(str(CATALOG)).metadata
    assert header["Language"] == "ru"
    assert header["Content-Type"] == "text/plain; charset=UTF-8"
    assert header["Plural-Forms"].startswith("nplurals=3; plural=")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.msgid)
def test_text_is_translated_with_its_placeholders(entry):
    assert entry.translated() and not entry.fuzzy and not entry.obsolete
    assert len(translations(entry)) == (3 if entry.msgid_plural else 1)
    for text in translations(entry):
        assert placeholders(text) == placeholders(entry.msgid_plural or entry.msgid)
        assert re.search("[а-я]", text, re.IGNORECASE)
        assert text[-1:] == entry.msgid[-1:] or entry.msgid[-1].isalnum()


def test_compiled_catalog_is_up_to_date():
    """Otherwise: ``msgfmt --check-format -o django.mo django.po``."""
    compiled = polib.mofile(str(CATALOG.with_suffix(".mo")))
    assert {entry.msgid: translations(entry) for entry in compiled} == {
        entry.msgid: translations(entry) for entry in ENTRIES
    }
    assert compiled.metadata == polib.pofile(str(CATALOG)).metadata


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "Отменена 1 задача."),
        (2, "Отменены 2 задачи."),
        (5, "Отменено 5 задач."),
        (11, "Отменено 11 задач."),
        (21, "Отменена 21 задача."),
    ],
)
def test_russian_plural_forms(count, text):
    with translation.override("ru"):
        found = translation.ngettext("%(count)d task was cancelled.", "%(count)d tasks were cancelled.", count)
    assert found % {"count": count} == text


@pytest.mark.seed("S001-11")
def test_61002_has_the_documented_text():
    [wire] = [wire for wire in conf.dialect("moysklad").CODES.values() if wire.code == 61002]
    with translation.override("ru"):
        assert translation.gettext(wire.text) == (
            "Ошибка при создании асинхронной задачи: превышено ограничение на количество "
            "одновременно выполняемых асинхронных операций."
        )


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mount", "wanted", "text"),
    [
        ("moysklad", None, RUSSIAN),
        ("moysklad", "ru", RUSSIAN),
        ("moysklad", "en", ENGLISH),
        ("moysklad", "en-GB,en;q=0.9,ru;q=0.8", ENGLISH),
        ("moysklad", "fr", RUSSIAN),
        ("kladana", None, ENGLISH),
        ("kladana", "en", ENGLISH),
        ("kladana", "fr", ENGLISH),
        ("kladana", "ru-RU,ru;q=0.9,en;q=0.8", RUSSIAN),
        ("kladana", "ru;q=0, fr", ENGLISH),
    ],
)
def test_accept_language_chooses_the_language(django_user_model, mount, wanted, text):
    client = Client(headers={"Accept-Language": wanted} if wanted else {})
    client.force_login(django_user_model.objects.create(username="anna"))
    answer = client.get(f"{conf.dialect(mount).prefix}/async/{uuid.uuid4()}")
    assert answer.status_code == 404
    assert answer.json() == {"errors": [{"error": text, "code": 1021}]}
