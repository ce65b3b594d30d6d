"""The web application of the map: the page, tiles and attributes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Lifespan

from overcast import __version__
from overcast.errors import OvercastError
from overcast.viewer.answers import PROBLEM, RequestError, problem, status_of
from overcast.viewer.cache import TileCache
from overcast.viewer.mercator import Tile
from overcast.viewer.safety import Access, Guard
from overcast.viewer.scene_map import SceneMap

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
}
TILE_HEADERS = {"cache-control": "private, max-age=300"}
_LOG = logging.getLogger("overcast.viewer")


class Library(Protocol):
    """Where maps are found by their name in addresses."""

    def get(self, name: str) -> SceneMap:
        """The map. Raises RequestError where there is none."""
        ...


class OneMap:
    """A library of a single map, called `scene`."""

    NAME = "scene"

    def __init__(self, shown: SceneMap) -> None:
        self._shown = shown

    def get(self, name: str) -> SceneMap:
        """The map."""
        if name != self.NAME:
            raise RequestError(404, f"there is no map {name!r}.")
        return self._shown


def create_app(
    library: Library,
    access: Access,
    settings: dict[str, Any],
    *routers: APIRouter,
    lifespan: Lifespan[FastAPI] | None = None,
) -> FastAPI:
    """The application.

    Args:
        library: The maps.
        access: Who may ask.
        settings: What the page receives at `/settings.json`.
        routers: Further routes.
        lifespan: What begins and ends with the server.
    """
    app = FastAPI(title="Overcast", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.include_router(_pages(settings))
    app.include_router(_maps(library))
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(OvercastError, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(HTTPException, _unknown)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Guard, access=access)
    return app


def _pages(settings: dict[str, Any]) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/settings.json")
    def settings_json() -> dict[str, Any]:
        return settings

    @router.get("/")
    def index() -> Response:
        return _page_file("index.html")

    @router.get("/page/{name:path}")
    def page(name: str) -> Response:
        return _page_file(name)

    return router


def _page_file(name: str) -> Response:
    files = page_files()
    if name not in files:
        raise RequestError(404, "there is no such page.")
    return Response(
        files[name], media_type=MEDIA_TYPES[PurePosixPath(name).suffix], headers={"cache-control": "no-cache"}
    )


@cache
def page_files() -> dict[str, bytes]:
    """The files of the page by their path; no other path leads to a file."""
    found: dict[str, bytes] = {}

    def walk(folder: Any, prefix: str) -> None:
        """Take up the files of a folder and of those in it."""
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif PurePosixPath(entry.name).suffix in MEDIA_TYPES:
                found[f"{prefix}{entry.name}"] = entry.read_bytes()

    walk(resources.files("overcast.viewer") / "page", "")
    return found


def _maps(library: Library) -> APIRouter:
    router, cache = APIRouter(prefix="/maps/{name}", tags=["map"]), TileCache()

    def tile(key: tuple[Any, ...], make: Callable[[], tuple[bytes, str]]) -> Response:
        content, kind = cache.get(key, make)
        return (
            Response(content, media_type=kind, headers=TILE_HEADERS) if content else Response(None, 204, TILE_HEADERS)
        )

    @router.get("", summary="What the map shows and where")
    def info(name: str) -> dict[str, Any]:
        return library.get(name).info()

    @router.get("/comparison", summary="Found, invented and missed footprints at 101 thresholds")
    def comparison(name: str) -> Response:
        """Curves once they are known."""
        differences = library.get(name).comparison()
        if differences is None:
            return JSONResponse({"state": "running"}, 202)
        curve = [{**vars(one), "f1": one.f1} for one in differences.curve]
        return JSONResponse({"state": "ready", "curve": curve})

    @router.get("/place", summary="Coordinates and values at a place")
    def place(name: str, longitude: float, latitude: float) -> dict[str, Any]:
        return library.get(name).place(longitude, latitude)

    @router.get("/pictures/{layer}/{z}/{x}/{y}", summary="A tile of the scene or the orthophoto")
    def picture(
        name: str, layer: str, z: int, x: int, y: int, band: Annotated[int, Query(ge=0, le=1024)] = 1
    ) -> Response:
        shown, at = library.get(name), Tile(z, x, y)
        return tile((id(shown), layer, at, band), lambda: shown.picture_tile(layer, at, band))

    @router.get(
        "/probability/{z}/{x}/{y}",
        summary="A tile of probability: thousandths as Terrarium heights, -1000 where there are no data",
    )
    def probability(name: str, z: int, x: int, y: int) -> Response:
        shown, at = library.get(name), Tile(z, x, y)
        return tile((id(shown), "probability", at), lambda: shown.probability_tile(at))

    @router.get("/shapes/{layer}/{z}/{x}/{y}", summary="A vector tile of the footprints or the reference")
    def shapes(name: str, layer: str, z: int, x: int, y: int) -> Response:
        shown, at = library.get(name), Tile(z, x, y)
        return tile((id(shown), layer, at, shown.compared), lambda: shown.shape_tile(layer, at))

    @router.get("/shapes/{layer}/{number}", summary="What the file says about one polygon")
    def attributes(name: str, layer: str, number: int) -> dict[str, Any]:
        return library.get(name).attributes(layer, number)

    return router


def _answer(status: int, sentence: str) -> JSONResponse:
    return JSONResponse(problem(status, sentence), status, media_type=PROBLEM)


def _refused(request: Request, error: Exception) -> Response:
    del request
    return _answer(status_of(error), str(error))


def _misunderstood(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part)[:40] for part in first["loc"][1:])
    return _answer(400, f"{where or 'the request'}: {first['msg'][:120]}.")


def _unknown(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    sentences = {404: "there is nothing at this address.", 405: "this address does not take such a request."}
    return _answer(error.status_code, sentences.get(error.status_code, "the request cannot be answered."))


def _failed(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(500, "the server made a mistake, which its log describes.")
