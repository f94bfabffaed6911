"""The only reader of Django's settings. ``ASYNC_EXCHANGE`` is looked up again when ``override_settings`` changes it.

>>> conf.ALLOW_ANONYMOUS
False
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver

from ..dialects.base import Dialect, Policy
from ..protocol.address_rules import Rules
from ..protocol.signer import Signer
from ..protocol.validators import Mistake, shown
from .keys import NAME, Keys, Setting
from .mounts import Wrong, entries
from .mounts import mount as mount

READING = ("django_sendfile.backends.simple", "django_sendfile.backends.development")
"""Values of ``SENDFILE_BACKEND`` that hand nothing over."""


_known: dict[str, Any] = {}
"""``ASYNC_EXCHANGE``, its values, the mounts made of it: every request asks, and Django's own look takes its time."""


def given() -> Mapping[str, Any]:
    """``ASYNC_EXCHANGE`` as the project wrote it, or nothing. Raises ImproperlyConfigured for no dictionary."""
    known = _known
    if "given" not in known:
        found = getattr(settings, NAME, {})
        if not isinstance(found, Mapping):
            wrong, cure = f"{shown(found)} is no dictionary.", "Write a dictionary: {'DIALECTS': {…}}."
            raise ImproperlyConfigured(str(Wrong(place=NAME, wrong=wrong, cure=cure)))
        known["given"] = found
    found = known["given"]
    return found  # type: ignore[no-any-return]


@receiver(setting_changed, dispatch_uid="django_asyncexchange.conf")
def forget(**kwargs: Any) -> None:
    """Read the settings again after a test has overridden one. Another thread may be filling the old dictionary."""
    global _known
    _known = {}


class Conf(Keys):
    """The settings as they are now."""

    def value_of(self, setting: Setting[Any]) -> Any:
        """The value of one key of ``ASYNC_EXCHANGE``. Raises ImproperlyConfigured."""
        known = _known
        if setting.name not in known:
            if wrong := setting.mistake(given()):
                raise ImproperlyConfigured(str(wrong))
            known[setting.name] = setting.read(given())
        return known[setting.name]

    def names(self) -> Iterator[str]:
        """The names of all settings."""
        return (setting.name for setting in self.settings())

    @property
    def raw(self) -> Mapping[str, Any]:
        """``ASYNC_EXCHANGE`` as the project wrote it."""
        return given()

    def is_known(self, fact: str) -> bool:
        """Whether ``learn`` was told ``fact`` of the settings as they are now."""
        return fact in _known

    def learn(self, fact: str) -> None:
        """Keep a fact until the settings change."""
        _known[fact] = True

    def project_names(self) -> list[str]:
        """The names of all settings that the project, or Django, has."""
        return [name for name in dir(settings) if name.isupper()]

    def project(self, name: str, default: Any = None) -> Any:
        """A setting of Django itself or of another app."""
        return getattr(settings, name, default)

    @property
    def has_server_in_front(self) -> bool:
        """Whether django-sendfile2 tells a web server to send a file; its backends for development read it."""
        backend = self.project("SENDFILE_BACKEND")
        return bool(backend) and backend not in READING

    @property
    def mounts(self) -> tuple[Dialect, ...]:
        """The mounted dialects in the order in which they are asked: by trigger, the more special first.

        Raises ImproperlyConfigured where one cannot be mounted.
        """
        known = _known
        if "mounts" not in known:
            try:
                ready = [mount(name, options) for name, options in entries(self.DIALECTS).items()]
            except Mistake as error:
                raise ImproperlyConfigured(f"{error} {error.cure}") from error
            known["mounts"] = tuple(sorted(ready, key=_precedence))
        return known["mounts"]  # type: ignore[no-any-return]

    def mounted(self, name: str) -> Dialect | None:
        """The mount called ``name``; None where the project has taken it down meanwhile."""
        return next((mount for mount in self.mounts if mount.name == name), None)

    def policy(self, name: str) -> Policy:
        """The numbers that apply to tasks of the mount called ``name``."""
        dialect = self.mounted(name)
        return dialect.policy if dialect else Policy()

    def dialect(self, name: str) -> Dialect:
        """The mount called ``name``; KeyError where there is none."""
        return {mount.name: mount for mount in self.mounts}[name]

    def signer(self, salt: str) -> Signer:
        """Signs with ``SECRET_KEY`` and accepts ``SECRET_KEY_FALLBACKS``."""
        return Signer(keys=self.secret_keys, salt=f"django_asyncexchange.{salt}")

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """``SECRET_KEY``, then those that it replaced."""
        return str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS)

    def rules(self, policy: Policy) -> Rules:
        """What the webhooks of a mount may call."""
        required = not settings.DEBUG if self.WEBHOOK_REQUIRE_HTTPS is None else self.WEBHOOK_REQUIRE_HTTPS
        return Rules(
            ports=tuple(self.WEBHOOK_PORTS),
            networks=tuple(self.WEBHOOK_ALLOWED_NETWORKS),
            https_only=required and policy.require_https,
        )


conf = Conf()


def _precedence(dialect: Dialect) -> tuple[int, bool, int]:
    """The more special mount first: one that covers its own paths before one that only has its tasks there."""
    return dialect.TRIGGER, dialect.covers("/"), -len(dialect.prefix)
