"""``conf``: the settings of this app. Values are cached, and reloaded when ``override_settings`` changes them.

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

from ..dialects.base import DeliveryRules, Dialect, Policy
from ..protocol.address_rules import Rules
from ..protocol.signer import Signer
from ..protocol.validators import Mistake, shown
from .keys import NAME, Keys, Setting
from .mounts import Problem, delivery_rules, entries
from .mounts import mount as mount

DEVELOPMENT_BACKENDS = ("django_sendfile.backends.simple", "django_sendfile.backends.development")
"""Values of ``SENDFILE_BACKEND`` that read the file in Python instead of leaving it to the web server."""

_cache: dict[str, Any] = {}
"""``ASYNC_EXCHANGE``, its validated values and its mounts: every request needs them, and validation takes time."""


def given() -> Mapping[str, Any]:
    """Return ``ASYNC_EXCHANGE`` as the project wrote it. Raises ImproperlyConfigured if it is not a dictionary."""
    cache = _cache
    if "given" not in cache:
        found = getattr(settings, NAME, {})
        if not isinstance(found, Mapping):
            message, hint = f"{shown(found)} is not a dictionary.", "Write a dictionary: {'DIALECTS': {…}}."
            raise ImproperlyConfigured(str(Problem(setting=NAME, message=message, hint=hint)))
        cache["given"] = found
    found = cache["given"]
    return found  # type: ignore[no-any-return]


@receiver(setting_changed, dispatch_uid="django_asyncexchange.conf")
def clear_cache(**kwargs: Any) -> None:
    """Clear the cache when a test overrides settings. A new dictionary: another thread may be filling the old one."""
    global _cache
    _cache = {}


class Conf(Keys):
    """The settings: each key of ``ASYNC_EXCHANGE`` is an attribute."""

    def value_of(self, setting: Setting[Any]) -> Any:
        """Return the validated value of one key. Raises ImproperlyConfigured if it is invalid."""
        cache = _cache
        if setting.name not in cache:
            if problem := setting.problem(given()):
                raise ImproperlyConfigured(str(problem))
            cache[setting.name] = setting.read(given())
        return cache[setting.name]

    def names(self) -> Iterator[str]:
        """Names of all keys of ``ASYNC_EXCHANGE``."""
        return (setting.name for setting in self.settings())

    @property
    def raw(self) -> Mapping[str, Any]:
        """``ASYNC_EXCHANGE`` as the project wrote it."""
        return given()

    def was_checked(self, check: str) -> bool:
        """Whether ``mark_checked(check)`` was called since the settings last changed."""
        return check in _cache

    def mark_checked(self, check: str) -> None:
        """Remember that ``check`` has passed, until the settings change."""
        _cache[check] = True

    def project_names(self) -> list[str]:
        """Names of all settings of the project and of Django."""
        return [name for name in dir(settings) if name.isupper()]

    def project(self, name: str, default: Any = None) -> Any:
        """Return a setting of Django itself or of another app."""
        return getattr(settings, name, default)

    @property
    def has_sendfile_server(self) -> bool:
        """Whether django-sendfile2 has the web server send files; its development backends do not."""
        backend = self.project("SENDFILE_BACKEND")
        return bool(backend) and backend not in DEVELOPMENT_BACKENDS

    @property
    def mounts(self) -> tuple[Dialect, ...]:
        """Mounted dialects, in the order in which they see a request: by trigger, the most specific first.

        Raises ImproperlyConfigured if one cannot be mounted.
        """
        cache = _cache
        if "mounts" not in cache:
            try:
                ready = [mount(name, options) for name, options in entries(self.DIALECTS).items()]
            except Mistake as error:
                raise ImproperlyConfigured(f"{error} {error.hint}") from error
            cache["mounts"] = tuple(sorted(ready, key=_precedence))
        return cache["mounts"]  # type: ignore[no-any-return]

    @property
    def optional_mounts(self) -> tuple[Dialect, ...]:
        """Those of ``mounts`` whose trigger is a preference. Cached: every request that passes asks."""
        cache = _cache
        if "optional_mounts" not in cache:
            cache["optional_mounts"] = tuple(mount for mount in self.mounts if mount.OPTIONAL)
        return cache["optional_mounts"]  # type: ignore[no-any-return]

    @property
    def has_patience(self) -> bool:
        """Whether the settings give views patience. Cached: every request asks."""
        cache = _cache
        if "has_patience" not in cache:
            cache["has_patience"] = bool(self.PATIENCE) or any(mount.policy.patience for mount in self.mounts)
        return cache["has_patience"]  # type: ignore[no-any-return]

    def mounted(self, name: str) -> Dialect | None:
        """The mount called ``name``; None if the project no longer mounts it."""
        return next((mount for mount in self.mounts if mount.name == name), None)

    def policy(self, name: str) -> Policy:
        """The policy of the mount called ``name``; the default policy if it is no longer mounted."""
        dialect = self.mounted(name)
        return dialect.policy if dialect else Policy()

    def delivery_rules(self, name: str) -> DeliveryRules:
        """How webhooks and callbacks of the mount called ``name`` are delivered."""
        dialect = self.mounted(name)
        return delivery_rules(type(dialect))[dialect.policy.delivery] if dialect else DeliveryRules()

    def dialect(self, name: str) -> Dialect:
        """The mount called ``name``. Raises KeyError."""
        return {mount.name: mount for mount in self.mounts}[name]

    def signer(self, salt: str) -> Signer:
        """Return a signer that uses ``SECRET_KEY`` and accepts ``SECRET_KEY_FALLBACKS``."""
        return Signer(keys=self.secret_keys, salt=f"django_asyncexchange.{salt}")

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """``SECRET_KEY``, then ``SECRET_KEY_FALLBACKS``."""
        return str(settings.SECRET_KEY), *map(str, settings.SECRET_KEY_FALLBACKS)

    def rules(self, policy: Policy) -> Rules:
        """Which URLs the webhooks of a mount may call."""
        required = not settings.DEBUG if self.WEBHOOK_REQUIRE_HTTPS is None else self.WEBHOOK_REQUIRE_HTTPS
        return Rules(
            ports=tuple(self.WEBHOOK_PORTS),
            networks=tuple(self.WEBHOOK_ALLOWED_NETWORKS),
            https_only=required and policy.require_https,
        )


conf = Conf()


def _precedence(dialect: Dialect) -> tuple[int, bool, int]:
    """Sort key: mounts that cover only their own paths first, longer prefixes before shorter ones."""
    return dialect.TRIGGER, dialect.covers("/"), -len(dialect.prefix)
