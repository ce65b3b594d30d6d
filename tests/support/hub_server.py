"""A stub of the Hugging Face hub, with what pushing and fetching a model asks of it; and of other web servers."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Answer:
    """What a path answers with, whatever is asked of it."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    said_bytes: int | None = None
    """Content-Length, where it is not the truth."""


@dataclass
class Stub:
    """State of the server."""

    base: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    """By path."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Of the one repository."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers of each request."""
    uploaded: dict[str, bytes] = field(default_factory=dict)
    """By SHA-256."""

    def paths(self, method: str) -> list[str]:
        """Paths that were asked for by a method."""
        return [path for asked, path, _ in self.asked if asked == method]


@contextmanager
def stub_server() -> Iterator[Stub]:
    """The server, on a port of this machine."""
    stub = Stub()

    class Handler(_Handler):
        state = stub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stub.base = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Stub

    def do_GET(self) -> None:
        path = self._noted("GET")
        if path in self.state.answers:
            self._give(self.state.answers[path])
        elif path.startswith("/api/models/town/roofs"):
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.state.files.items()]
            self._json({"id": "town/roofs", "sha": COMMIT, "siblings": siblings, "tags": []})
        elif path.startswith(f"/town/roofs/resolve/{COMMIT}/"):
            self._give(Answer(status=302, headers={"Location": f"/cdn/{path.rpartition('/')[2]}"}))
        elif path.startswith("/cdn/"):
            self._give(Answer(self.state.files[path.removeprefix("/cdn/")]))
        else:
            self._json({"error": "Repository not found"}, 404)

    def do_POST(self) -> None:
        path, content = self._noted("POST"), self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/api/repos/create":
            self._json({"url": f"{self.state.base}/town/roofs"})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif "/preupload/" in path:
            files = [file["path"] for file in json.loads(content)["files"]]
            modes = [{"path": file, "uploadMode": _mode(file), "shouldIgnore": False} for file in files]
            self._json({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(content)["objects"]
            actions = [
                one | {"actions": {"upload": {"href": f"{self.state.base}/put/{one['oid']}"}}} for one in objects
            ]
            self._json({"transfer": "basic", "objects": actions})
        elif "/commit/" in path:
            self._commit([json.loads(line) for line in content.splitlines()])
        else:
            self._json({"error": "not known"}, 404)

    def do_PUT(self) -> None:
        path, content = self._noted("PUT"), self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(content).hexdigest() == path.removeprefix("/put/")
        self.state.uploaded[path.removeprefix("/put/")] = content
        self._give(Answer())

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.state.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.state.files[value["path"]] = self.state.uploaded[value["oid"]]
        self._json({"commitUrl": f"{self.state.base}/town/roofs/commit/{COMMIT}", "commitOid": COMMIT})

    def _noted(self, method: str) -> str:
        path = self.path.partition("?")[0]
        self.state.asked.append((method, path, {key.lower(): value for key, value in self.headers.items()}))
        return path

    def _json(self, value: Any, status: int = 200) -> None:
        self._give(Answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"}))

    def _give(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        length = len(answer.content) if answer.said_bytes is None else answer.said_bytes
        if length >= 0:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: object) -> None:
        pass


def _mode(name: str) -> str:
    return "lfs" if name.endswith(".safetensors") else "regular"
