"""Hosts on one machine: network namespaces on a bridge, with their own host names. Their links can be cut."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator

from ..conftest import unavailable


class Network:
    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack, self._mark = stack, os.urandom(3).hex()
        self._prefix = f"10.{random.SystemRandom().randrange(64, 250)}.{random.SystemRandom().randrange(250)}"
        self._hosts: list[str] = []
        self.address = f"{self._prefix}.1"
        """Of this machine, in that network."""
        bridge = f"b{self._mark}"
        ip("link", "add", bridge, "type", "bridge")
        stack.callback(ip, "link", "del", bridge)
        ip("address", "add", f"{self.address}/24", "dev", bridge)
        ip("link", "set", bridge, "up")

    def host(self, name: str) -> list[str]:
        """Add a host; returns the prefix of commands that run there."""
        space, near, far = f"{name}-{self._mark}", self._link(name), f"w{name}{self._mark}"
        ip("netns", "add", space)
        self._stack.callback(ip, "netns", "del", space)
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", near, "master", f"b{self._mark}", "up")
        ip("link", "set", far, "netns", space)
        self._hosts.append(name)
        ip("-n", space, "address", "add", f"{self._prefix}.{1 + len(self._hosts)}/24", "dev", far)
        ip("-n", space, "link", "set", far, "up")
        ip("-n", space, "link", "set", "lo", "up")
        become = f'hostname {name} && exec "$@"'
        return ["ip", "netns", "exec", space, "unshare", "--uts", "sh", "-c", become, "sh"]

    def cut(self, name: str) -> None:
        """Cut the link of a host: no packet passes, and no connection is closed."""
        ip("link", "set", self._link(name), "down")

    def mend(self, name: str) -> None:
        ip("link", "set", self._link(name), "up")

    def _link(self, name: str) -> str:
        return f"v{name}{self._mark}"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A network, if this user may create one."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        unavailable("No iproute2 or no unshare on this machine")
    with contextlib.ExitStack() as stack:
        try:
            ours = Network(stack)
            ours.host("probe")
        except subprocess.CalledProcessError as error:
            unavailable(f"No network namespaces for this user: {error.stderr.strip()}")
        yield ours
