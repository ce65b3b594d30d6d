"""Who may ask: the right host, the right origin, the right token; and what a page may load."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overcast.errors import ConfigError
from overcast.viewer.answers import PROBLEM, RequestError, problem

COOKIE = "overcast_token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_URL = 4096
LARGEST_REQUEST = 2**20
"""Bytes of what is sent with POST; uploads come with PUT, and have limits of their own."""
SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Access:
    """Where a server listens, and what it asks of those who come."""

    host: str = "127.0.0.1"
    token: str | None = None
    """None only where the server listens on this machine alone."""
    basemap: str | None = None
    """Origin of the tiles of a background map, which pages may then load."""

    @property
    def loopback(self) -> bool:
        """True where only this machine can reach the server."""
        return is_loopback(self.host)


def access(host: str, token: str | None, basemap: str | None = None) -> Access:
    """What a command line asked for; an address that others can reach gets a token even where none was given.

    Raises ConfigError for a token that is easily guessed, and for an address of a background map that is none.
    """
    if token is not None and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable()):
        raise ConfigError(f"a token has {SHORTEST_TOKEN} or more plain characters; leave it out to have one made.")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return Access(host, token, None if basemap is None else _origin(basemap))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or its address.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _origin(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname or any(letter in address for letter in " ;,'\""):
        raise ConfigError("--basemap is the address of tiles: https://HOST/{z}/{x}/{y}.png")
    return f"{parts.scheme}://{parts.netloc}"


def page_policy(access: Access) -> str:
    """The content security policy: everything from this server, no inline script, nothing from elsewhere."""
    more = f" {access.basemap}" if access.basemap else ""
    return (
        f"default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; font-src 'self'; "
        f"img-src 'self' blob: data:{more}; connect-src 'self'{more}; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    )


class Guard:
    """ASGI middleware: refuses what does not come from the server's own page, and adds the headers of safety."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access
        self._headers = {
            "content-security-policy": page_policy(access),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "geolocation=(), camera=(), microphone=()",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            """Add the headers to the start of an answer."""
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            entrance = self._entrance(scope)
        except RequestError as refusal:
            body = problem(refusal.status, str(refusal))
            await JSONResponse(body, refusal.status, media_type=PROBLEM)(scope, receive, with_headers)
            return
        await (entrance or self._app)(scope, receive, with_headers)

    def _entrance(self, scope: Scope) -> ASGIApp | None:
        """None for a request that may pass; the answer to the one that brings the token in its address."""
        headers = Headers(scope=scope)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_URL:
            raise RequestError(414, f"the address is longer than {LONGEST_URL} characters.")
        self._require_host(headers)
        if scope["method"] not in SAFE_METHODS:
            _require_same_origin(headers)
            _require_small(scope["method"], headers)
        if self._access.token is None:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if scope["path"] == "/" and self._matches(given):
            answer = RedirectResponse("./", 303)
            answer.set_cookie(COOKIE, given[0], httponly=True, samesite="strict", path="/")
            return answer
        if not self._matches(_tokens(headers)):
            raise RequestError(401, "this server asks for its token: open the address that it printed when it started.")
        return None

    def _require_host(self, headers: Headers) -> None:
        """A page of another name that resolves to this machine (DNS rebinding) must not read what is served here."""
        if self._access.loopback and not is_loopback(_host_name(headers.get("host", ""))):
            raise RequestError(421, "this server answers to localhost only.")

    def _matches(self, given: Iterable[str]) -> bool:
        wanted = (self._access.token or "").encode()
        return any(hmac.compare_digest(one.encode("utf-8", "replace"), wanted) for one in given)


def _require_same_origin(headers: Headers) -> None:
    """What changes something comes from our own page, or from a program, which sends no origin."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site not in {None, "same-origin", "none"}:
        raise RequestError(403, "requests that change something must come from this server's own page.")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise RequestError(403, "requests that change something must come from this server's own page.")


def _require_small(method: str, headers: Headers) -> None:
    if method == "PUT":
        return
    length = headers.get("content-length", "0" if "transfer-encoding" not in headers else "")
    if not length.isdigit():
        raise RequestError(411, "say how long the request is (Content-Length).")
    if int(length) > LARGEST_REQUEST:
        raise RequestError(413, f"a request has at most {LARGEST_REQUEST} bytes.")


def _tokens(headers: Headers) -> list[str]:
    kind, _, token = headers.get("authorization", "").partition(" ")
    found = [token.strip()] if kind.lower() == "bearer" else []
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        cookie = None
    return found if cookie is None else [*found, cookie.value]


def _host_name(host: str) -> str:
    """The host of a Host header, without the port; no name where it is not a host with a port."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::\d*)?", host)
    return (found[1] or found[2]) if found else ""
