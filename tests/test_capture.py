"""What of a request is kept: the CSRF token of a form is not (contract/security 4.2)."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from django.test.client import encode_multipart
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange import capture

TOKEN = "aB3" * 20 + "aB3x"
PLAIN = "application/x-www-form-urlencoded"
BOUNDARY = "b.o(u)n+d?ary"
PARTS = f"multipart/form-data; boundary={BOUNDARY}"


def kept(body: bytes, content_type: str = PLAIN, *, size: int = 1 << 16, method: str = "POST") -> bytes:
    """What is stored of ``body``, when it comes in chunks of ``size``."""
    request = RequestFactory().generic(method, "/", b"-", content_type=content_type)  # its own body is not looked at
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(capture.without_csrf_token(chunks, request))


def multipart(**fields: object) -> bytes:
    return encode_multipart(BOUNDARY, fields)


def overwritten(body: bytes) -> bytes:
    return body.replace(TOKEN.encode(), b"x" * len(TOKEN))


FORMS = {
    "alone": (f"csrfmiddlewaretoken={TOKEN}".encode(), PLAIN),
    "first": (f"csrfmiddlewaretoken={TOKEN}&a=1".encode(), PLAIN),
    "last": (f"a=1&b=%20&csrfmiddlewaretoken={TOKEN}".encode(), PLAIN),
    "far behind": (f"a={'1' * 100_000}&csrfmiddlewaretoken={TOKEN}&c={'2' * 100_000}".encode(), PLAIN),
    "first part": (multipart(csrfmiddlewaretoken=TOKEN, a="1"), PARTS),
    "last part": (multipart(a="1\r\n" * 10_000, csrfmiddlewaretoken=TOKEN), PARTS),
    "part with more headers": (
        multipart(csrfmiddlewaretoken=TOKEN).replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain\r\n\r\n", 1),
        PARTS,
    ),
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(("body", "content_type"), FORMS.values(), ids=FORMS)
def test_the_csrf_token_of_a_form_is_overwritten_and_nothing_else(body, content_type, method):
    assert TOKEN.encode() in body
    assert kept(body, content_type, method=method) == overwritten(body)


@pytest.mark.parametrize("size", [1, 2, 7, 31, 64, 1023, 1024, 1025])
@pytest.mark.parametrize("name", ["first", "last", "first part", "last part"])
def test_the_token_is_found_wherever_the_chunks_end(name, size):
    body, content_type = FORMS[name]
    assert kept(body[-3000:], content_type, size=size) == overwritten(body[-3000:])


OTHERS = {
    "JSON": (f'{{"csrfmiddlewaretoken=":"{TOKEN}"}}'.encode(), "application/json"),
    "text": (f"csrfmiddlewaretoken={TOKEN}".encode(), "text/plain"),
    "another field": (f"notcsrfmiddlewaretoken={TOKEN}&csrfmiddlewaretoken2={TOKEN}".encode(), PLAIN),
    "a value that speaks of it": (f"a=csrfmiddlewaretoken={TOKEN}".encode(), PLAIN),
    "an empty token": (b"csrfmiddlewaretoken=&a=1", PLAIN),
    "another part": (multipart(notcsrfmiddlewaretoken=TOKEN), PARTS),
    "a file that looks like a form": (
        multipart(file=multipart(csrfmiddlewaretoken=TOKEN).decode().replace(BOUNDARY, "inner")),
        PARTS,
    ),
    "no boundary": (multipart(csrfmiddlewaretoken=TOKEN), "multipart/form-data"),
    "nothing": (b"", PLAIN),
    "no content type": (b"csrfmiddlewaretoken=x", ""),
}


@pytest.mark.parametrize(("body", "content_type"), OTHERS.values(), ids=OTHERS)
def test_every_other_body_is_kept_as_it_came(body, content_type):
    assert kept(body, content_type, size=50) == body


@given(
    body=st.binary(max_size=4000).filter(lambda body: b"csrf" not in body),
    size=st.integers(1, 3000),
    content_type=st.sampled_from([PLAIN, PARTS]),
)
def test_no_byte_of_a_form_without_a_token_is_changed(body, size, content_type):
    assert kept(body, content_type, size=size) == body
