"""Signatures of links."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_asyncexchange.protocol.signer import Signer

SIGNER = Signer(keys=("a key",), salt="download")


def test_what_was_signed_is_verified():
    assert SIGNER.verify("text", SIGNER.sign("text"))


def test_a_signature_is_64_hexadecimal_digits():
    signature = SIGNER.sign("text")
    assert len(signature) == 64
    assert set(signature) <= set(string.hexdigits.lower())


def test_the_same_text_has_the_same_signature():
    assert SIGNER.sign("text") == SIGNER.sign("text")


@pytest.mark.parametrize("place", range(64))
def test_no_digit_of_a_signature_can_be_changed(place):
    signature = SIGNER.sign("text")
    forged = signature[:place] + ("0" if signature[place] != "0" else "1") + signature[place + 1 :]
    assert not SIGNER.verify("text", forged)


@pytest.mark.parametrize("forged", ["", "0" * 64, "é" * 64, "\udcff" * 64, "x" * 10_000])
def test_what_is_no_signature_is_refused(forged):
    assert not SIGNER.verify("text", forged)


def test_a_signature_in_capitals_is_refused():
    assert not SIGNER.verify("text", SIGNER.sign("text").upper())


def test_a_signature_cut_short_is_refused():
    assert not SIGNER.verify("text", SIGNER.sign("text")[:-1])


@given(st.text(), st.text())
def test_a_signature_holds_for_one_text_only(one, other):
    assert SIGNER.verify(other, SIGNER.sign(one)) == (one == other)


def test_a_signature_under_another_salt_is_worthless():
    assert not Signer(keys=("a key",), salt="callback").verify("text", SIGNER.sign("text"))


def test_a_signature_with_another_key_is_worthless():
    assert not Signer(keys=("another key",), salt="download").verify("text", SIGNER.sign("text"))


def test_salt_and_key_cannot_be_shifted_into_each_other():
    assert Signer(keys=("bc",), salt="a").sign("text") != Signer(keys=("c",), salt="ab").sign("text")


def test_after_a_rotation_old_signatures_hold():
    rotated = Signer(keys=("a new key", "a key"), salt="download")
    assert rotated.verify("text", SIGNER.sign("text"))


def test_after_a_rotation_the_new_key_signs():
    rotated = Signer(keys=("a new key", "a key"), salt="download")
    assert not SIGNER.verify("text", rotated.sign("text"))
