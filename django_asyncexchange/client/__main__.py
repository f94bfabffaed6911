"""``python -m django_asyncexchange.client [-X POST] [-H "Name: text"] [-d BODY] [-o FILE] [--timeout SECONDS] URL``.

Writes the body of the final response to stdout or FILE, and progress to stderr. Exits with 0, 22 if the status is 400
or more (as ``curl --fail``), 7 if the server cannot be reached, 1 if the task has no response, 2 for wrong arguments
and 130 after Ctrl+C, which cancels the task.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence

import httpx

from .exceptions import AsyncExchangeError, ServerUnreachable
from .httpx_transport import Transport
from .values import Options, Progress


def header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name.strip() and colon):
        raise argparse.ArgumentTypeError(f"{text!r} is not like 'Name: text'")
    return name.strip(), value.strip()


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m django_asyncexchange.client")
    parser.add_argument("-X", dest="method", help="GET, or POST with -d, unless given")
    parser.add_argument("-H", dest="headers", type=header, action="append", default=[], help="a header, 'Name: text'")
    parser.add_argument("-d", dest="body", help="the body of the call")
    parser.add_argument("-o", dest="file", help="where the response's body is written; stdout unless given")
    parser.add_argument("--timeout", type=float, help="seconds until the response begins")
    parser.add_argument("url")
    return parser.parse_args(given)


def show(progress: Progress) -> None:
    """One line on stderr."""
    counted = f" {progress.done}/{progress.total}" if progress.total is not None else ""
    print(f"{progress.state}{counted} {progress.message or ''}".rstrip(), file=sys.stderr)


def call(asked: argparse.Namespace) -> int:
    method = asked.method or ("GET" if asked.body is None else "POST")
    transport = Transport(Options(timeout=asked.timeout, on_progress=show))
    with (
        httpx.Client(transport=transport) as client,
        client.stream(method, asked.url, headers=asked.headers, content=asked.body) as response,
        open(asked.file, "wb") if asked.file else contextlib.nullcontext(sys.stdout.buffer) as output,
    ):
        for chunk in response.iter_bytes():
            output.write(chunk)
    return 22 if response.is_error else 0


def main(given: Sequence[str] | None = None) -> int:
    """The exit code."""
    try:
        return call(arguments(given))
    except (AsyncExchangeError, httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        print(error, file=sys.stderr)
        return 7 if isinstance(error, ServerUnreachable | httpx.TransportError) else 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
