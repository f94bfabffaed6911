"""``python -m django_asyncexchange.client [METHOD] URL [-H "Name: text"] [-d BODY] [-o FILE] [--timeout SECONDS]``.

Writes the body of the final response to stdout or FILE, and progress to stderr. Exits with 0, 22 if the status is 400
or more (as ``curl --fail``), 7 if the server cannot be reached, 1 if the task has no response, 2 for wrong arguments
and 130 after Ctrl+C, which cancels the task.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from .exceptions import AsyncExchangeError, ServerUnreachable
from .httpx_transport import Transport
from .progress_bar import ProgressBar, counted, described
from .values import DOWNLOADING, Options, Progress


def header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name.strip() and colon):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 'Name: text'")
    return name.strip(), value.strip()


def body(text: str) -> bytes:
    """``text``, or the contents of a file: ``@name``, or ``@-`` for stdin."""
    if not text.startswith("@"):
        return text.encode()
    try:
        return sys.stdin.buffer.read() if text == "@-" else Path(text[1:]).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def is_url(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m django_asyncexchange.client", usage="%(prog)s [options] [METHOD] URL", description=__doc__
    )
    parser.add_argument("-X", dest="method", help="another way to give METHOD: GET, or POST with -d, unless given")
    parser.add_argument("-H", dest="headers", type=header, action="append", default=[], help="a header, 'Name: text'")
    parser.add_argument("-d", dest="body", type=body, help="the body of the call; @FILE reads it, @- from stdin")
    parser.add_argument("-o", dest="file", help="where the response's body is written; stdout unless given")
    parser.add_argument("-s", "--no-progress", dest="is_quiet", action="store_true", help="show no progress")
    parser.add_argument("--timeout", type=float, help="seconds until the response begins")
    parser.add_argument("words", nargs="+", metavar="[METHOD] URL", help="the call")
    return parser


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    asked = parser().parse_args(given)
    *methods, asked.url = asked.words
    methods += [asked.method] if asked.method else []
    if len(methods) > 1:
        parser().error("one method and one URL are needed")
    if not is_url(asked.url):
        parser().error(f"{asked.url!r} is not like https://example.com/path")
    asked.method = (methods or ["GET" if asked.body is None else "POST"])[0].upper()
    return asked


def show(progress: Progress) -> None:
    """One line on stderr."""
    if progress.state != DOWNLOADING:
        print(" ".join(filter(None, (described(progress), counted(progress)))), file=sys.stderr)


def shown(asked: argparse.Namespace, stack: contextlib.ExitStack) -> Callable[[Progress], None] | None:
    """A bar on a terminal where rich is installed, lines elsewhere; None where nothing is to be shown."""
    if asked.is_quiet:
        return None
    if sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            return stack.enter_context(ProgressBar())
    return show


def call(asked: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        # Before the call is submitted: it would run for a file that cannot be written.
        output = stack.enter_context(open(asked.file, "wb")) if asked.file else sys.stdout.buffer
        on_progress = shown(asked, stack)
        client = stack.enter_context(
            httpx.Client(transport=Transport(Options(timeout=asked.timeout, on_progress=on_progress)))
        )
        response = stack.enter_context(
            client.stream(asked.method, asked.url, headers=asked.headers, content=asked.body)
        )
        if isinstance(on_progress, ProgressBar) and not asked.file and sys.stdout.isatty():
            on_progress.stop()  # the body is written to the same screen
        for chunk in response.iter_bytes():
            output.write(chunk)
    return 22 if response.is_error else 0


def main(given: Sequence[str] | None = None) -> int:
    """The exit code."""
    try:
        return call(arguments(given))
    except (AsyncExchangeError, httpx.HTTPError, OSError) as error:
        print(error, file=sys.stderr)
        return 7 if isinstance(error, ServerUnreachable | httpx.TransportError) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
