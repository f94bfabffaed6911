"""The settings, and mounts made from them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.test import override_settings

from django_asyncexchange.conf import Conf, conf
from django_asyncexchange.conf.mounts import BUILT_IN
from django_asyncexchange.conf.settings import mount
from django_asyncexchange.dialects.base import DeliveryRules, Policy
from django_asyncexchange.dialects.kladana import Kladana
from django_asyncexchange.dialects.moysklad.dialect import MoySklad, RemapPolicy
from django_asyncexchange.dialects.prefer import Prefer
from django_asyncexchange.dialects.solitude import Solitude
from django_asyncexchange.protocol.validators import Mistake

from ..services import exchange


def test_missing_setting_has_its_default():
    assert conf.MAX_RESULT_BYTES == 5 * 1024**3


def test_empty_dict_has_all_defaults():
    with override_settings(ASYNC_EXCHANGE={}):
        assert {name: getattr(conf, name) for name in conf.names()} == {
            setting.name: setting.default for setting in conf.settings()
        }


def test_setting_is_read_at_each_access():
    with override_settings(ASYNC_EXCHANGE=exchange(PRUNE_SECONDS=7)):
        assert conf.PRUNE_SECONDS == 7
    assert conf.PRUNE_SECONDS == 300


def test_mounts_are_built_once_for_each_value_of_the_setting(settings):
    first = conf.mounts
    assert conf.mounts is first
    settings.ASYNC_EXCHANGE = exchange()
    assert conf.mounts is conf.mounts is not first


def test_project_without_the_setting_has_the_prefer_dialect(settings, monkeypatch):
    del settings.ASYNC_EXCHANGE
    monkeypatch.setattr("django_asyncexchange.conf.settings._cache", {})  # Django tells nobody of what is deleted
    assert [mount.name for mount in conf.mounts] == ["prefer"]
    assert conf.mounts is conf.mounts


def test_default_executor_is_django_q2():
    assert Conf.EXECUTOR.default == "django_asyncexchange.executors.django_q.DjangoQ"


def test_all_settings_are_known_by_name():
    assert {"DIALECTS", "VIEWS", "OWNER", "ALLOW_ANONYMOUS", "EXECUTOR", "INLINE_BYTES"} <= set(conf.names())


def test_unknown_setting_is_no_attribute():
    with pytest.raises(AttributeError):
        conf.NOTHING  # noqa: B018


@pytest.mark.parametrize(("name", "cls"), [("solitude", Solitude), ("moysklad", MoySklad), ("kladana", Kladana)])
def test_built_in_dialect_needs_no_class(name, cls):
    assert type(mount(name, {})) is cls


def test_class_can_be_mounted_under_any_name():
    made = mount("ours", {"CLASS": "django_asyncexchange.dialects.moysklad.MoySklad", "PREFIX": "/ours/"})
    assert (made.name, made.prefix, type(made)) == ("ours", "/ours", MoySklad)


@pytest.mark.parametrize(
    ("name", "options", "hint"),
    [
        ("ours", {}, "needs a CLASS"),
        ("moisklad", {}, "Did you mean 'moysklad'?"),
        ("ours", {"CLASS": "tests.nowhere.Nothing"}, "Write the dotted path"),
        ("moysklad", {"CAPACITIES": 5}, "Did you mean 'CAPACITY'?"),
    ],
)
def test_invalid_entry_raises_with_a_hint(name, options, hint):
    with pytest.raises(Mistake) as mistake:
        mount(name, options)
    assert hint in mistake.value.hint


def test_prefer_stays_mounted_beside_other_dialects():
    with override_settings(ASYNC_EXCHANGE={"DIALECTS": {"moysklad": {}}}):
        assert {made.name for made in conf.mounts} == {"moysklad", "prefer"}


def test_options_of_prefer_are_used():
    with override_settings(ASYNC_EXCHANGE={"DIALECTS": {"prefer": {"PREFIX": "/later"}}}):
        assert [made.prefix for made in conf.mounts] == ["/later"]


@pytest.mark.parametrize("name", ["prefer", "moysklad"])
def test_mount_of_none_is_disabled(name):
    with override_settings(ASYNC_EXCHANGE={"DIALECTS": {"moysklad": {}, name: None}}):
        assert {made.name for made in conf.mounts} == {"moysklad", "prefer"} - {name}


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("rules", ["signed", "moysklad", "mailru"])
def test_any_mount_may_choose_the_delivery_rules_of_a_built_in_dialect(name, rules):
    assert mount(name, {"DELIVERY": rules}).policy.delivery == rules


class OwnRules(Prefer):
    DELIVERY_RULES = {"patient": DeliveryRules(total_timeout=60)}
    POLICY = Policy(delivery="patient")


class UnknownRules(Prefer):
    POLICY = Policy(delivery="unknown")


def test_dialect_of_the_project_brings_its_own_delivery_rules():
    with override_settings(ASYNC_EXCHANGE={"DIALECTS": {"own": {"CLASS": f"{__name__}.OwnRules"}, "prefer": None}}):
        assert conf.delivery_rules("own").total_timeout == 60
        assert conf.delivery_rules("gone") == DeliveryRules()


def test_default_delivery_rules_that_do_not_exist_are_a_mistake():
    with pytest.raises(Mistake, match="'unknown' is unknown"):
        mount("own", {"CLASS": f"{__name__}.UnknownRules"})


def test_option_with_an_overridden_default_is_still_validated():
    with pytest.raises(Mistake):
        mount("moysklad", {"CAPACITY": "4"})


def test_option_of_a_custom_policy_has_the_type_of_its_default():
    assert RemapPolicy.validator("require_gzip")(True) is True
    with pytest.raises(Mistake):
        RemapPolicy.validator("require_gzip")("yes")


def test_option_overrides_one_value_of_the_policy():
    made = mount("moysklad", {"CAPACITY": 9})
    assert (made.policy.capacity, made.policy.retention) == (9, MoySklad.POLICY.retention)


def test_duration_may_be_given_in_seconds():
    assert mount("moysklad", {"RUN_LIMIT": 0.5}).policy.run_limit == dt.timedelta(seconds=0.5)


def test_duration_may_be_a_timedelta():
    assert mount("moysklad", {"RUN_LIMIT": dt.timedelta(minutes=1)}).policy.run_limit == dt.timedelta(minutes=1)


def test_sequence_may_be_a_list():
    assert mount("moysklad", {"VIEWS": ["/a/*"]}).policy.views == ("/a/*",)


def test_policy_of_the_class_is_not_changed():
    mount("moysklad", {"CAPACITY": 9})
    assert MoySklad.POLICY.capacity == 4


def test_mounts_are_ordered_by_trigger_and_prefix_length():
    dialects = {"moysklad": {}, "kladana": {"PREFIX": "/kladana"}, "solitude": {}, "prefer": None}
    with override_settings(ASYNC_EXCHANGE=exchange(DIALECTS=dialects)):
        assert [made.name for made in conf.mounts] == ["solitude", "kladana", "moysklad"]


def test_mounts_are_cached():
    assert conf.mounts is conf.mounts


def test_mounts_follow_the_settings():
    before = conf.mounts
    with override_settings(ASYNC_EXCHANGE=exchange(DIALECTS={"solitude": {}, "prefer": None})):
        assert [made.name for made in conf.mounts] == ["solitude"]
    assert [made.name for made in conf.mounts] == [made.name for made in before]


def test_mount_is_found_by_name():
    assert conf.dialect("kladana").prefix == "/kladana/api/remap/1.2"


def test_mount_covers_paths_below_its_prefix_only():
    made = mount("moysklad", {"PREFIX": "/api"})
    assert [path for path in ("/api", "/api/x", "/apix", "/", "/x/api") if made.covers(path)] == ["/api", "/api/x"]


def test_mount_without_a_prefix_covers_every_path():
    assert mount("solitude", {}).covers("/anything")


@override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
def test_signature_with_a_fallback_key_is_valid():
    with override_settings(SECRET_KEY="old", SECRET_KEY_FALLBACKS=[]):
        signature = conf.signer("download").sign("text")
    assert conf.signer("download").verify("text", signature)


def test_signers_of_two_purposes_are_independent():
    assert not conf.signer("callback").verify("text", conf.signer("download").sign("text"))
