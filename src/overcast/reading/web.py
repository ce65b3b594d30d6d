"""Answers of web servers, with a bound on their size and on the time that they may take."""

from __future__ import annotations

import time
import urllib.request as web
from base64 import b64encode
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

from overcast.errors import OvercastError
from overcast.reading.words import first_line
from overcast.redact import redacted

LARGEST_ANSWER_BYTES = 16 * 2**20
TIMEOUT_S = 60.0
"""For a whole answer, and for each wait within it."""
_PIECE_BYTES = 2**16


def read_web(url: str, error: type[OvercastError], remedy: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """The answer to a GET of an http or https address; `remedy` ends the sentence of the error.

    Redirects are followed to such addresses only. User and password of the address go to its own server alone.
    """
    name, end, content = redacted(url), time.monotonic() + timeout_s, b""
    try:
        with opener().open(request_of(url), timeout=timeout_s) as answer:
            while piece := answer.read1(_PIECE_BYTES):
                content += piece
                if len(content) > LARGEST_ANSWER_BYTES:
                    size = f"{LARGEST_ANSWER_BYTES / 2**20:g} MB"
                    raise error(f"{name}: the server's answer has more than {size}; {remedy}.")
                if time.monotonic() > end:
                    raise error(f"{name}: the server's answer took over {timeout_s:g} s; {remedy}.")
    except (OSError, HTTPException) as problem:
        if isinstance(problem, HTTPError):
            problem.close()
        reason = first_line(problem) if isinstance(problem, OSError) else "the server's answer is not valid"
        raise error(f"{name} cannot be fetched ({reason}); {remedy}.") from None
    except ValueError:  # its text may quote parts of the address
        raise error(f"{name} is not a valid address; {remedy}.") from None
    return content


def request_of(url: str) -> web.Request:
    """A GET of an address; its user and password go to its own server alone. Raises ValueError for no address."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = web.Request(urlunsplit(parts._replace(netloc=host, fragment="")))  # noqa: S310  # the opener knows http only
    if at:
        login = b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")
    return request


def opener(redirects: type[web.BaseHandler] = web.HTTPRedirectHandler) -> web.OpenerDirector:
    """An opener for http and https, which `redirects` follows: urllib's own follows redirects to ftp as well."""
    opener = web.OpenerDirector()
    for handler in (
        web.ProxyHandler,
        web.HTTPHandler,
        web.HTTPSHandler,
        redirects,
        web.HTTPDefaultErrorHandler,
        web.HTTPErrorProcessor,
        web.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
