"""What has become of each scene: a line of JSON, appended as scenes begin and end; the last line of a scene counts."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError

from overcast.outputs.clock import fixed_now
from overcast.outputs.writable import writing
from overcast.raster.addresses import address
from overcast.reading.json_text import json_value
from overcast.reading.words import UnreadableError
from overcast.scenes.inputs import input_identities, lasting
from overcast.scenes.job import Job
from overcast.scenes.stac import utc_text

NAME = "manifest.jsonl"


class Status(StrEnum):
    """How far a scene came."""

    BEGUN = "begun"
    """None of its outputs was there: those that are there now come from this request."""
    DONE = "done"
    FAILED = "failed"


class _Entry(BaseModel):
    """What is read of a line."""

    model_config = ConfigDict(frozen=True)

    scene: str
    status: Status
    request: str | None = None
    outputs: dict[str, StrictInt] = {}


class Manifest:
    """The manifest of a folder of outputs."""

    def __init__(self, folder: Path) -> None:
        """Read what is there; a line that a kill cut off is ignored."""
        self.path = folder / NAME
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""
        self._glued = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            with suppress(UnreadableError, ValidationError):
                entry = _Entry.model_validate(json_value(line))
                self._entries[entry.scene] = entry

    def is_done(self, scene: str, request: str, targets: Sequence[Path]) -> bool:
        """True where the scene was mapped by the same request and its outputs are still there as they were written.

        Only the targets of this run are looked at, whatever files the manifest names.
        """
        entry = self._entries.get(scene)
        if entry is None or entry.status is not Status.DONE or entry.request != request:
            return False
        sizes = {path.name: path.stat().st_size for path in targets if path.is_file()}
        return len(sizes) == len(targets) and entry.outputs == sizes

    def is_begun(self, scene: str, request: str) -> bool:
        """True where the same request was killed at work on the scene, which had no outputs before."""
        entry = self._entries.get(scene)
        return entry is not None and entry.status is Status.BEGUN and entry.request == request

    def record(self, scene: str, files: Sequence[Path], status: Status, facts: Mapping[str, Any]) -> None:
        """Append how far a scene came, for good; from several threads. Raises InputError where the disk is full."""
        entry = {
            "scene": scene,
            "status": status.value,
            "files": [address(path) for path in files],
            "begun" if status is Status.BEGUN else "ended": utc_text(fixed_now() or datetime.now(UTC)),
            **facts,
        }
        with self._lock, writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(("\n" if self._glued else "") + json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
            self._glued = False
            self._entries[scene] = _Entry.model_validate(entry)


def request_digest(job: Job) -> str:
    """Names everything that decides a scene's outputs. Raises InputError where a file cannot be read."""
    options = asdict(replace(job.options, polygons=job.polygons))
    for name in ("threads", "queue_batches", "keep_exports"):
        del options["scene"][name]
    del options["overwrite"]
    for name in ("area", "mixing"):
        if options[name] is None:
            del options[name]
    area = job.options.area
    facts: Sequence[object] = [
        lasting(input_identities(job.inputs, () if area is None or area.file is None else (area.file,))),
        [job.model.sha256, job.model.class_name, job.model.calibration_temperature],
        job.sensor.model_dump(mode="json"),
        options,
        [path.name for path in job.targets],
        *([] if job.optical is None else [asdict(job.optical)]),
    ]
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
