"""Listening: a free port, the browser, and the end by Ctrl-C."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from urllib.parse import quote

import uvicorn
from fastapi import FastAPI

from overcast.errors import InputError
from overcast.viewer.safety import Access

KEEP_ALIVE_S = 75
"""Longer than reverse proxies keep theirs (60 s), so that none sends a request into a connection that closes."""
BACKLOG = 256


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that who comes early waits; port 0 takes a free one.

    Raises InputError where the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --port or --host."
        ) from error
    return bound


def address_of(bound: socket.socket, access: Access, path: str = "/") -> str:
    """The address to open in a browser; it carries the token."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{path}" + (f"?token={quote(access.token)}" if access.token else "")


def serve(app: FastAPI, bound: socket.socket, *, ready: Callable[[], None] | None = None) -> None:
    """Answer requests until Ctrl-C or SIGTERM; `ready` is called in a thread once the server listens."""
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_keep_alive=KEEP_ALIVE_S, backlog=BACKLOG, lifespan="on",
        access_log=False, timeout_graceful_shutdown=3, h11_max_incomplete_event_size=32768,
    )  # fmt: skip
    if ready is not None:
        threading.Thread(target=ready, name="ready", daemon=True).start()
    uvicorn.Server(config).run(sockets=[bound])


def open_browser(address: str) -> None:
    """Show an address in the user's browser, where there is one."""
    try:
        webbrowser.open(address)
    except webbrowser.Error:
        return
