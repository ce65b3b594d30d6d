"""A client of a few lines, with the standard library alone.

server = Client("http://127.0.0.1:8000")
job = server.run(server.upload("scene.tif"), bands=["HH", "HV"], unit="dB", radar_side="north")
server.wait(job)
server.download(job, "footprints.gpkg")
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from overcast.atomic import replacing
from overcast.errors import InputError

TIMEOUT_S = 600


class Client:
    """A server of jobs. Every method raises InputError with the sentence of the server where it refuses."""

    def __init__(self, address: str, token: str | None = None) -> None:
        """The address that `overcast serve` printed, without its token, and the token."""
        if not address.startswith(("http://", "https://")):
            raise InputError(f"{address} is not the address of a server; it begins with http:// or https://.")
        self._address, self._token = address.rstrip("/"), token

    def scenes(self) -> list[str]:
        """Names of the scenes in the folder of the server."""
        return [scene["name"] for scene in self._json("GET", "/scenes")["scenes"]]

    def upload(self, path: str | Path) -> str:
        """Send a GeoTIFF; returns the name of the scene there."""
        path = Path(path)
        with path.open("rb") as file:
            headers = {"Content-Length": str(path.stat().st_size), "Content-Type": "image/tiff"}
            return str(self._json("PUT", f"/uploads/{quote(path.name)}", file, headers)["scene"])

    def check(self, scene: str, **inputs: Any) -> dict[str, Any]:
        """What would be done with a scene; where `ready` is False, `sentence` says what is missing."""
        return self._json("POST", "/scenes/check", {"scene": scene, **inputs})

    def run(self, scene: str, **inputs: Any) -> str:
        """Begin a job and return its number. For `inputs` see `/processes/predict`."""
        body = {"inputs": {"scene": scene, **inputs}}
        return str(self._json("POST", "/processes/predict/execution", body)["jobID"])

    def job(self, number: str) -> dict[str, Any]:
        """The state of a job."""
        return self._json("GET", f"/jobs/{number}")

    def wait(
        self, number: str, on_state: Callable[[dict[str, Any]], None] | None = None, every_s: float = 1.0
    ) -> dict[str, Any]:
        """The last state of a job, when it has ended; `on_state` gets those before. Raises where the job failed."""
        while (state := self.job(number))["status"] in {"accepted", "running"}:
            if on_state is not None:
                on_state(state)
            time.sleep(every_s)
        if state["status"] != "successful":
            raise InputError(f"job {number} {state['status']}: {state['message']}")
        return state

    def download(self, number: str, path: str | Path) -> Path:
        """Write a result, by the ending of the name: .gpkg, .parquet, .geojson, or .tif for the probability."""
        path = Path(path)
        address = f"/jobs/{number}/results/{path.suffix[1:]}"
        with replacing(path) as beside, self._open("GET", address) as answer, beside.open("wb") as file:
            shutil.copyfileobj(answer, file)
        return path

    def cancel(self, number: str) -> None:
        """Cancel a job, or remove a finished one."""
        self._json("DELETE", f"/jobs/{number}")

    def _json(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        with self._open(method, path, body, headers) as answer:
            value = json.loads(answer.read())
        assert isinstance(value, dict)
        return value

    def _open(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        given = dict(headers or {})
        if self._token:
            given["Authorization"] = f"Bearer {self._token}"
        request = Request(f"{self._address}{path}", body, given, method=method)  # noqa: S310 - http by __init__
        try:
            return urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
        except HTTPError as error:
            raise InputError(_sentence(error)) from error
        except URLError as error:
            raise InputError(f"{self._address} does not answer ({error.reason}); is the server running?") from error


def _sentence(error: HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code}; check its address."
