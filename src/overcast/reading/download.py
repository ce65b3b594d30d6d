"""A file from a web server, written to disk: by https alone, bounded in size and time."""

from __future__ import annotations

import time
import urllib.request as web
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from overcast.errors import InputError
from overcast.reading.web import opener, request_of
from overcast.reading.words import first_line
from overcast.redact import redacted

_PIECE_BYTES = 2**18
Progress = Callable[[float, float], None]
"""Called with bytes that have come, and bytes in all; the latter is the bound where the server does not say."""


@dataclass(frozen=True)
class DownloadLimits:
    """What a download may take."""

    most_bytes: int
    wait_s: float = 30.0
    """For an answer, and for each piece of it."""
    whole_s: float = 3600.0


def download(
    url: str,
    path: Path,
    limits: DownloadLimits,
    headers: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the answer to a GET of an https address into a new file.

    Redirects are followed to https alone. Plain http is taken from this machine's own addresses alone, and leads to
    them alone. After an error nothing is left of the file.

    Args:
        url: The address; its user and password go to its own server alone.
        path: The file, which must not exist.
        limits: Of size and time.
        headers: Of the request; those called Authorization go to the address's own server alone.
        progress: Called with the bytes done and in total.

    Raises InputError where the address is another one, or the server does not answer, answers with an error, with too
    much, with less than it said, or too slowly.
    """
    name = redacted(url)
    require_safe(url)
    try:
        request = request_of(url)
        for key, value in (headers or {}).items():
            request.add_unredirected_header(key, value)
        with opener(_SafeRedirects).open(request, timeout=limits.wait_s) as answer, path.open("xb") as file:
            _copy(answer, file, limits, progress)
    except _RefusedError as problem:
        path.unlink(missing_ok=True)
        raise InputError(f"{name}: {problem}; nothing was kept.") from None
    except (OSError, HTTPException, ValueError) as problem:
        path.unlink(missing_ok=True)
        if isinstance(problem, HTTPError):
            problem.close()
        reason = first_line(problem) if isinstance(problem, OSError) else "the server's answer is not valid"
        raise InputError(f"{name} cannot be fetched ({reason}); check the address and try again.") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def require_safe(url: str) -> None:
    """Raise InputError for an address that is neither https nor plain http on this machine itself."""
    if not _is_safe(url):
        raise InputError(f"{redacted(url)} is not an https:// address; models are fetched by https alone.")


class _RefusedError(Exception):
    """Why an answer is not taken, in words."""


class _SafeRedirects(web.HTTPRedirectHandler):
    """Follows redirects from https to https, and on this machine itself."""

    def redirect_request(self, req: web.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """The request that follows. Raises URLError where it would leave https."""
        if not _is_safe(newurl) or (req.type == "https" and urlsplit(newurl).scheme != "https"):
            raise URLError("it leads to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host)))


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _copy(answer: Any, file: Any, limits: DownloadLimits, progress: Progress | None) -> None:
    end, done, said = time.monotonic() + limits.whole_s, 0, answer.headers.get("Content-Length", "")
    total = int(said) if said.isascii() and said.isdigit() else None
    if total is not None and total > limits.most_bytes:
        raise _RefusedError(f"it has {total / 2**20:.0f} MB, more than the {limits.most_bytes / 2**20:g} MB allowed")
    while piece := answer.read1(_PIECE_BYTES):
        done += len(piece)
        if done > limits.most_bytes:
            raise _RefusedError(f"it has more than the {limits.most_bytes / 2**20:g} MB allowed")
        if time.monotonic() > end:
            raise _RefusedError(f"it took more than {limits.whole_s:g} s")
        file.write(piece)
        if progress is not None:
            progress(done, total or limits.most_bytes)
    if total is not None and done != total:
        raise _RefusedError(f"it broke off after {done} of {total} bytes")
