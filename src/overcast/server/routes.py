"""The addresses of jobs, scenes and models: OGC API - Processes where it says how."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict

from overcast import __version__
from overcast.server.jobs import Jobs
from overcast.server.library import JOB, RootLibrary, scene_map_name
from overcast.server.models import Models
from overcast.server.records import Inputs, Record, Status
from overcast.server.results import Result, result_file
from overcast.server.root import Root
from overcast.server.uploads import receive
from overcast.viewer.answers import RequestError

EVENT_S = 15.0
"""Seconds without news after which an event is sent all the same, so that proxies keep the line open."""
CONFORMS = ("core", "json", "job-list", "dismiss", "ogc-process-description")


class Execute(BaseModel):
    """The body of an execution."""

    model_config = ConfigDict(extra="ignore")

    inputs: Inputs


def scene_routes(root: Root, models: Models, jobs: Jobs) -> APIRouter:
    """Scenes and models of the folder."""
    router = APIRouter(tags=["scenes"])

    @router.get("/models", summary="Models to choose from, and what each maps from")
    def list_models() -> dict[str, Any]:
        return {"models": models.listed()}

    @router.get("/scenes", summary="Scenes in the folder of the server")
    def list_scenes() -> dict[str, Any]:
        return {"scenes": [{"name": name, "map": scene_map_name(name)} for name in root.scenes()]}

    @router.post("/scenes/check", summary="What would be done with a scene, or what is missing to map it")
    def check(inputs: Inputs) -> dict[str, Any]:
        return jobs.check(inputs)

    @router.put("/uploads/{name}", status_code=201, summary="Upload a scene: the body is the GeoTIFF")
    async def upload(
        name: str, request: Request, content_length: Annotated[int | None, Header()] = None
    ) -> dict[str, str]:
        scene = await receive(root, name, content_length, request.stream())
        return {"scene": scene, "map": scene_map_name(scene)}

    return router


def process_routes() -> APIRouter:
    """What OGC API - Processes asks of every server."""
    router = APIRouter(tags=["process"])
    summary = {"id": "predict", "version": __version__, "title": "Map footprints from a SAR scene"}
    summary |= {"jobControlOptions": ["async-execute", "dismiss"], "outputTransmission": ["reference"]}  # type: ignore[dict-item]

    @router.get("/conformance", summary="Parts of OGC API - Processes that are kept")
    def conformance() -> dict[str, Any]:
        base = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf"
        return {"conformsTo": [f"{base}/{name}" for name in CONFORMS]}

    @router.get("/processes", summary="The processes of this server")
    def processes() -> dict[str, Any]:
        return {"processes": [summary], "links": [{"rel": "self", "href": "/processes"}]}

    @router.get("/processes/predict", summary="Inputs and outputs of predict")
    def process() -> dict[str, Any]:
        schema = Inputs.model_json_schema()
        definitions = schema.get("$defs", {})
        inputs = {
            name: {
                "title": name,
                "minOccurs": int(name in schema["required"]),
                "schema": {**about, "$defs": definitions},
            }
            for name, about in schema["properties"].items()
        }
        outputs = {
            kind.value: {"title": kind.name.lower(), "schema": {"contentMediaType": kind.media_type}} for kind in Result
        }
        return {**summary, "inputs": inputs, "outputs": outputs}

    return router


def job_routes(jobs: Jobs, library: RootLibrary) -> APIRouter:
    """Executions and what becomes of them."""
    router = APIRouter(tags=["jobs"])

    @router.post("/processes/predict/execution", status_code=201, summary="Begin a job")
    def execute(body: Execute) -> JSONResponse:
        record = jobs.submit(body.inputs)
        return JSONResponse(_plain(record.info()), 201, {"location": f"/jobs/{record.id}"})

    @router.get("/jobs", summary="All jobs, the newest first")
    def list_jobs() -> dict[str, Any]:
        return {"jobs": [record.info() for record in jobs.listed()], "links": [{"rel": "self", "href": "/jobs"}]}

    @router.get("/jobs/{number}", summary="The state of a job")
    def job(number: str) -> dict[str, Any]:
        return jobs.get(number).info()

    @router.delete("/jobs/{number}", summary="Cancel a job, or remove a finished one")
    def dismiss(number: str) -> dict[str, Any]:
        library.forget(JOB + number)
        return {**jobs.dismiss(number).info(), "status": Status.DISMISSED.value}

    @router.get("/jobs/{number}/events", summary="The states of a job as server-sent events")
    async def events(number: str) -> StreamingResponse:
        first = jobs.get(number)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(_events(jobs, first), media_type="text/event-stream", headers=headers)

    @router.get("/jobs/{number}/results", summary="Where the results lie")
    def results(number: str) -> dict[str, Any]:
        _require_done(jobs.get(number))
        return {
            kind.value: {"href": f"/jobs/{number}/results/{kind.value}", "type": kind.media_type} for kind in Result
        }

    @router.get("/jobs/{number}/results/{kind}", summary="A result: gpkg, parquet, geojson or tif")
    def result(number: str, kind: Result) -> Response:
        record = jobs.get(number)
        _require_done(record)
        path = result_file(jobs.folder(number), kind)
        stem = record.inputs.scene.rpartition("/")[2].rpartition(".")[0]
        part = "probability" if kind is Result.PROBABILITY else "footprints"
        return FileResponse(path, media_type=kind.media_type, filename=f"{stem}-{part}.{kind.value}")

    return router


async def _events(jobs: Jobs, record: Record) -> AsyncIterator[str]:
    """The state now, and each one that follows, until the last."""
    yield _event(record)
    while not record.status.final:
        try:
            record = await to_thread.run_sync(jobs.wait, record.id, record, EVENT_S, abandon_on_cancel=True)
        except RequestError:  # removed meanwhile
            return
        yield _event(record)


def _event(record: Record) -> str:
    return f"event: status\ndata: {json.dumps(_plain(record.info()))}\n\n"


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """With dates as text."""
    return {key: one.isoformat() if hasattr(one, "isoformat") else one for key, one in value.items()}


def _require_done(record: Record) -> None:
    if record.status is not Status.SUCCESSFUL:
        raise RequestError(404, f"the job has no results, since it is {record.status.value}.")
