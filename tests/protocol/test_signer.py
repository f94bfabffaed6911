"""Signatures of links."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.protocol.signer import Signer

SIGNER = Signer(keys=("a key",), salt="download")


def test_signature_is_verified():
    assert SIGNER.verify("text", SIGNER.sign("text"))


def test_signature_is_64_hexadecimal_digits():
    signature = SIGNER.sign("text")
    assert len(signature) == 64
    assert set(signature) <= set(string.hexdigits.lower())


def test_signature_is_deterministic():
    assert SIGNER.sign("text") == SIGNER.sign("text")


@pytest.mark.parametrize("place", range(64))
def test_changed_digit_is_refused(place):
    signature = SIGNER.sign("text")
    forged = signature[:place] + ("0" if signature[place] != "0" else "1") + signature[place + 1 :]
    assert not SIGNER.verify("text", forged)


@pytest.mark.parametrize("forged", ["", "0" * 64, "é" * 64, "\udcff" * 64, "x" * 10_000])
def test_malformed_signature_is_refused(forged):
    assert not SIGNER.verify("text", forged)


def test_upper_case_signature_is_refused():
    assert not SIGNER.verify("text", SIGNER.sign("text").upper())


def test_truncated_signature_is_refused():
    assert not SIGNER.verify("text", SIGNER.sign("text")[:-1])


@given(st.text(), st.text())
def test_signature_is_valid_for_one_text(one, other):
    assert SIGNER.verify(other, SIGNER.sign(one)) == (one == other)


def test_signature_is_invalid_with_another_salt():
    assert not Signer(keys=("a key",), salt="callback").verify("text", SIGNER.sign("text"))


def test_signature_is_invalid_with_another_key():
    assert not Signer(keys=("another key",), salt="download").verify("text", SIGNER.sign("text"))


def test_salt_and_key_are_separated():
    assert Signer(keys=("bc",), salt="a").sign("text") != Signer(keys=("c",), salt="ab").sign("text")


def test_old_signature_is_valid_after_a_rotation():
    rotated = Signer(keys=("a new key", "a key"), salt="download")
    assert rotated.verify("text", SIGNER.sign("text"))


def test_new_key_signs_after_a_rotation():
    rotated = Signer(keys=("a new key", "a key"), salt="download")
    assert not SIGNER.verify("text", rotated.sign("text"))
