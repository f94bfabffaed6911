"""Renders stored calls for people: URLs without secrets, headers as tables, bodies by content type."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from ..models import AsyncTask, Body
from ..protocol.values import Headers, header
from ..redaction import MASK, is_secret, masked, masked_url
from ..store import bodies

logger = logging.getLogger("django_asyncexchange")

TEMPLATES = "admin/asyncexchange/asynctask"
MAX_BYTES = 64 * 1024
"""Bytes of a body that are shown, at most."""
MAX_BINARY_BYTES = 256
"""Bytes of a binary body that are shown, at most."""
MAX_FIELDS = 1000
"""Fields of a form that are shown, at most."""
CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
BOUNDARY = re.compile(r"boundary=\"?([^\";]+)", re.IGNORECASE)
PART = re.compile(r"\bname=\"([^\"]*)\"(?:.*?filename=\"([^\"]*)\")?", re.IGNORECASE)
TEXTUAL = re.compile(r"text/|.*[/+](json|xml|javascript|x-www-form-urlencoded)$")
MEMBER = re.compile(r'"([^"\\]{1,100})"\s*:\s*("(?:[^"\\]|\\.)*"?|[^\s,}\]"]+)')
"""A member of a JSON object, to mask secrets where the document is truncated or malformed."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
PRINTABLE = {byte: "." for byte in range(256) if not 32 <= byte < 127}


def mask_secrets(task: AsyncTask) -> AsyncTask:
    """Mask the secrets in the URL of ``task``, in place. It is for display only: do not save it."""
    task.url = masked_url(task.url)
    return task


def table(pairs: Sequence[tuple[str, str]]) -> SafeString:
    """Render ``pairs``, such as headers, as a table. Secrets are masked, also in URLs (``Location``)."""
    pairs = [(name, masked(name, text)) for name, text in pairs]
    return render_to_string(f"{TEMPLATES}/pairs.html", {"pairs": pairs}) if pairs else SafeString("—")


def body_view(body: Body, headers: Headers) -> SafeString:
    """Render the start of ``body`` in a readable form, with secrets masked."""
    content = b""
    try:
        for chunk in bodies.stream(body):
            content += chunk
            if len(content) >= MAX_BYTES:
                break
    except Exception:
        logger.exception("body of task %s could not be read", body.task_id)
        return SafeString(gettext("The stored body cannot be read."))
    content = content[:MAX_BYTES]
    content_type = header(headers, "Content-Type") or ""
    coded = (header(headers, "Content-Encoding") or "identity") != "identity"
    context = readable(content, "" if coded else content_type, whole=len(content) == body.size)
    html = render_to_string(f"{TEMPLATES}/body.html", {"size": body.size, "content_type": content_type, **context})
    return mark_safe(html.encode("utf-8", "backslashreplace").decode())  # JSON can contain lone surrogates


def readable(content: bytes, content_type: str, *, whole: bool) -> dict[str, Any]:
    """Template context for ``content``: ``pairs`` of a form or ``text``, and ``shown``, the number of bytes shown.

    ``whole`` is whether ``content`` is complete.
    """
    kind = content_type.partition(";")[0].strip().lower()
    shown = len(content)
    boundary = BOUNDARY.search(content_type)
    if kind == "multipart/form-data" and boundary:
        return {"pairs": list(parts(content, boundary[1].strip().encode(), whole=whole)), "shown": shown}
    text = decoded(content, content_type, kind, whole=whole)
    if text is None:
        return {"text": dump(content[:MAX_BINARY_BYTES]), "shown": min(shown, MAX_BINARY_BYTES)}
    try:
        if kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl("&".join(text.split("&", MAX_FIELDS)[:MAX_FIELDS]), keep_blank_values=True)
            return {"pairs": [(name, masked(name, value)) for name, value in pairs], "shown": shown}
        if kind.endswith(("/json", "+json")):
            text = json.dumps(mask_document(json.loads(text)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # truncated, malformed or nested too deeply: shown as text
        text = MEMBER.sub(_masked_member, text)
    return {"text": text, "shown": shown}


def _masked_member(found: re.Match[str]) -> str:
    name, text = found.groups()
    return f'"{name}": "{MASK}"' if text and is_secret(name) else found[0]


def mask_document(document: Any) -> Any:
    """A JSON ``document`` with everything masked whose name may be that of a secret, at any depth."""
    if isinstance(document, list):
        return [mask_document(each) for each in document]
    if isinstance(document, dict):
        return {name: MASK if each and is_secret(name) else mask_document(each) for name, each in document.items()}
    return masked_url(document) if isinstance(document, str) else document


def decoded(content: bytes, content_type: str, kind: str, *, whole: bool) -> str | None:
    """``content`` as text, or None if it is binary. Unless the content type says it is text, the bytes decide."""
    found = CHARSET.search(content_type)
    charset = found[1] if found else "utf-8"
    try:
        if TEXTUAL.match(kind):
            return content.decode(charset, "replace")
        end = len(content) if whole else max(content.rfind(b"\n"), content.rfind(b" ")) + 1
        text = content[: end or None].decode(charset)
    except LookupError:
        return content.decode("utf-8", "replace") if TEXTUAL.match(kind) else None
    except UnicodeError:
        return None
    return None if CONTROL.search(text) else text


def parts(content: bytes, boundary: bytes, *, whole: bool) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of each part of a multipart form; for files the text is file name and size."""
    found = (b"\r\n" + content).split(b"\r\n--" + boundary)[1:]
    for number, part in enumerate(found[:MAX_FIELDS], 1):
        head, separator, data = part.partition(b"\r\n\r\n")
        named = PART.search(head.decode("utf-8", "replace"))
        if not (separator and named):
            continue
        is_truncated = number == len(found) and not whole
        yield named[1], _part(named, data, is_truncated=is_truncated)


def _part(named: re.Match[str], data: bytes, *, is_truncated: bool) -> str:
    name, file = named.groups()
    if file is None:
        return masked(name, data.decode("utf-8", "replace") + "…" * is_truncated)
    text = gettext("file %(name)s, truncated") if is_truncated else gettext("file %(name)s, %(size)d bytes")
    return text % {"name": file, "size": len(data)}


def dump(content: bytes) -> str:
    """Hex dump: offset, hexadecimal and ASCII, 16 bytes per line."""
    rows = ((at, content[at : at + 16]) for at in range(0, len(content), 16))
    return "\n".join(f"{at:04x}  {row.hex(' '):<47}  {row.decode('latin-1').translate(PRINTABLE)}" for at, row in rows)
