"""A run is not interrupted where that would leave a lock held."""

from __future__ import annotations

import contextlib
import sys
import threading
import types

from django_asyncexchange.worker.safepoints import is_safe

seen = []
LOCK = threading.Lock()


def look(*_):
    seen.append(is_safe(sys._getframe(1)))
    return True


@contextlib.contextmanager
def held():
    look()
    yield
    look()


class Own:
    def acquire(self, *_):
        self.deeper()

    def deeper(self):
        look()


def test_ordinary_line_is_safe():
    seen.clear()
    look()
    assert seen == [True]


def test_enter_and_exit_of_a_with_block_are_unsafe():
    seen.clear()
    with held():
        look()
    assert seen == [False, True, False]


def test_acquire_is_unsafe():
    seen.clear()
    LOCK.acquire(look())
    LOCK.release()
    Own().acquire()
    assert seen == [False, False]


def view():
    look()


def test_with_block_around_the_whole_call_is_ignored():
    handler = types.FunctionType(
        (lambda: view()).__code__, {"__name__": "django_asyncexchange.worker.handlers", "view": view}
    )

    class Around(contextlib.nullcontext):
        def __enter__(self):
            handler()

    seen.clear()
    with Around():
        pass
    assert seen == [True]
