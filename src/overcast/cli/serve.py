"""The command that serves a folder: scenes, jobs and their maps."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from overcast.cli.groups import with_groups
from overcast.cli.served import Basemap, Port, Served
from overcast.errors import ConfigError


@dataclass(frozen=True)
class ServedFolder(Served):
    """Where a folder is served: at an address that one can remember, with a token that the environment may hold."""

    port: Port = 8000
    token: Annotated[
        str | None,
        typer.Option(envvar="OVERCAST_TOKEN", help="Asked of all who come; one is made for other addresses."),
    ] = None


@dataclass(frozen=True)
class Machines:
    """What computes the jobs."""

    device: Annotated[
        list[str] | None, typer.Option(help="Runs one job at a time; may be repeated: cuda:0, cuda:1.")
    ] = None
    address: Annotated[str | None, typer.Option(help="Ray cluster that computes the jobs: auto, or host:port.")] = None

    def devices(self) -> tuple[str, ...]:
        """The devices. Raises ConfigError where jobs cannot be computed on a cluster as it is asked for."""
        devices = tuple(self.device or ["auto"])
        if self.address is None:
            return devices
        if find_spec("ray") is None:
            raise ConfigError("--address needs Ray: pip install 'overcast[cluster]'.")
        if self.address == "local":
            raise ConfigError("--address names a Ray cluster that runs: auto, or host:port.")
        numbered = [device for device in devices if ":" in device]
        if numbered:
            raise ConfigError(f"--device {numbered[0]}: on a cluster Ray chooses the GPU; give auto, cpu or cuda.")
        return devices


@dataclass(frozen=True)
class Largest:
    """What is too large to be taken."""

    upload_gb: Annotated[float, typer.Option(min=0.001, help="Largest upload.")] = 20.0
    quota_gb: Annotated[float, typer.Option(min=0.001, help="Of uploads and results together.")] = 200.0
    gigapixels: Annotated[float, typer.Option(min=0.001, help="Largest scene, in all its bands.")] = 4.0


@with_groups
def serve(
    *,
    root: Annotated[Path, typer.Option(help="Folder with scenes; uploads and results go into it.")],
    models: Annotated[
        Path | None, typer.Option(help="Folder of bundles or run folders to choose from, beside the installed model.")
    ] = None,
    served: ServedFolder,
    machines: Machines,
    largest: Largest,
    basemap: Basemap = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = False,
) -> None:
    """Map scenes of a folder from the browser: choose or upload one, draw an area, watch, look, download.

    Jobs run one at a time on each device, in processes of their own. If the server is stopped or killed, it resumes
    them when it starts again. The HTTP API is described at /openapi.json.

    Example: `overcast serve --root maps`
    """
    from overcast.processes import sole_user
    from overcast.server.app import ServerOptions, create_server
    from overcast.server.models import Models
    from overcast.server.root import Limits, open_root
    from overcast.viewer.safety import access

    devices = machines.devices()
    allowed = access(served.host, served.token, basemap)
    limits = Limits(int(largest.upload_gb * 2**30), int(largest.quota_gb * 2**30), int(largest.gigapixels * 1e9))
    place = open_root(root, limits)
    with sole_user(place.folder):
        app = create_server(place, allowed, ServerOptions(Models(models), devices, machines.address, basemap))
        served.answer(app, allowed, browser=browser)
