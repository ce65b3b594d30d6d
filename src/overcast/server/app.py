"""The application of the server: the viewer's page and tiles, and jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI

from overcast.server.jobs import Jobs
from overcast.server.library import RootLibrary
from overcast.server.models import Models
from overcast.server.root import Root
from overcast.server.routes import job_routes, process_routes, scene_routes
from overcast.viewer.app import create_app
from overcast.viewer.safety import Access


@dataclass(frozen=True)
class ServerOptions:
    """How a server works."""

    models: Models = field(default_factory=Models)
    devices: Sequence[str] = ("auto",)
    """One job at a time on each."""
    address: str | None = None
    """Of a Ray cluster that computes the jobs; None: this machine."""
    basemap: str | None = None


def create_server(root: Root, access: Access, options: ServerOptions | None = None) -> FastAPI:
    """The application; its jobs begin with it and end with it."""
    options = options or ServerOptions()
    jobs = Jobs(root, options.models, options.devices, options.address)
    library = RootLibrary(root, jobs)

    @asynccontextmanager
    async def working(_: FastAPI) -> AsyncIterator[None]:
        jobs.start()
        try:
            yield
        finally:
            jobs.close()

    settings = {"map": None, "basemap": options.basemap, "work": True}
    routers = (scene_routes(root, options.models, jobs), process_routes(), job_routes(jobs, library))
    return create_app(library, access, settings, *routers, lifespan=working)
