"""What is asked of a job and what has become of it, as they lie in `job.json`."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overcast.atomic import write_atomic
from overcast.errors import InputError
from overcast.preparation.options import Level
from overcast.raster.units import RadarSide, Unit
from overcast.reading import explained, read_json
from overcast.section import Section

RECORD = "job.json"
Position = Annotated[list[float], Field(min_length=2, max_length=3)]
FileName = Annotated[str, Field(min_length=1, max_length=300)]
"""Path of a GeoTIFF within the folder of the server."""


class Polygon(Section):
    """A polygon of GeoJSON, in longitude and latitude."""

    type: Literal["Polygon"]
    coordinates: Annotated[
        list[Annotated[list[Position], Field(min_length=4, max_length=2000)]], Field(min_length=1, max_length=50)
    ]


class Optical(Section):
    """An optical image beside the scene, in any coordinate system, as `predict --optical` takes it."""

    files: Annotated[list[FileName], Field(min_length=1, max_length=50)]
    """The image or its sheets; of sheets that overlap the first counts."""
    clouds: FileName | None = None
    """Cloud mask."""
    cloud_values: Annotated[list[int], Field(min_length=1, max_length=100)] | None = None
    """Values of the mask that hide the ground; all but 0 by default."""
    nodata: float | None = None
    """Value without data, beside those that the files declare."""


class Inputs(Section):
    """What a job is made of. What is left out must stand in the file of the scene, or beside it."""

    scene: FileName
    model: Annotated[str, Field(max_length=200)] = ""
    """One of `/models`; the installed one by default."""
    bands: Annotated[list[Annotated[str, Field(min_length=1, max_length=20)]], Field(max_length=50)] | None = None
    """Names of the bands in order, for example HH, HV."""
    unit: Unit | None = None
    radar_side: RadarSide | None = None
    nodata: float | None = None
    level: Level = Level.CHECK
    """What happens where the scene is much brighter or darker than what the model learnt from."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    min_area_m2: Annotated[float, Field(ge=0, le=1e6)] = 10.0
    area: Polygon | None = None
    """The part of the scene that is mapped; all of it by default."""
    optical: Optical | None = None
    """Used where it shows the ground; the model must be a run folder."""


class Status(StrEnum):
    """States of a job, by the names of OGC API - Processes."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"

    @property
    def final(self) -> bool:
        """True where nothing more happens."""
        return self not in {Status.ACCEPTED, Status.RUNNING}


class Progress(BaseModel):
    """How far a stage is, in km²."""

    stage: str = ""
    done: float = 0.0
    total: float = 0.0
    remaining_s: float | None = None


class Record(BaseModel):
    """A job."""

    model_config = ConfigDict(extra="ignore")

    id: str
    inputs: Inputs
    status: Status = Status.ACCEPTED
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    device: str | None = None
    progress: Progress = Progress()
    message: str = "waiting"
    """One sentence for people."""
    footprints: int | None = None
    optical_share: float | None = None
    """Share of what has data that the optical image shows; None without one."""

    def info(self) -> dict[str, Any]:
        """As `statusInfo` of OGC API - Processes, with what is ours beside it."""
        share = 100.0 if self.status is Status.SUCCESSFUL else 0.0
        if self.progress.total and not self.status.final:
            share = 100 * self.progress.done / self.progress.total
        return {
            "jobID": self.id,
            "processID": "predict",
            "type": "process",
            "status": self.status.value,
            "message": self.message,
            "progress": round(share),
            "created": self.created,
            "started": self.started,
            "finished": self.finished,
            "scene": self.inputs.scene,
            "km2": self.progress.model_dump(),
            "device": self.device,
            "footprints": self.footprints,
            "optical_share": self.optical_share,
            "links": _links(self),
        }


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


def save(folder: Path, record: Record) -> None:
    """Write `job.json`: readers, and a server that starts after a crash, see the former one or this one."""
    write_atomic(folder / RECORD, record.model_dump_json(indent=2) + "\n")


def load(folder: Path) -> Record:
    """Read `job.json`. Raises InputError where it is missing or is none."""
    content = read_json(folder / RECORD, InputError, "remove the folder of the job")
    try:
        return Record.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{folder / RECORD} is not a job's record: {explained(error)}; remove its folder.") from error


def _links(record: Record) -> list[dict[str, str]]:
    base = f"/jobs/{record.id}"
    links = [{"rel": "self", "href": base}, {"rel": "events", "href": f"{base}/events", "type": "text/event-stream"}]
    if record.status is Status.SUCCESSFUL:
        links.append({"rel": "http://www.opengis.net/def/rel/ogc/1.0/results", "href": f"{base}/results"})
    return links
