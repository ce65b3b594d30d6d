"""The maps of a server: one for each scene and each finished job, opened when they are looked at."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from pathlib import Path

from overcast.server.jobs import Jobs
from overcast.server.records import Record, Status
from overcast.server.root import Root
from overcast.server.work import FOOTPRINTS, PROBABILITY, SCENE
from overcast.viewer.answers import RequestError
from overcast.viewer.scene_map import MapFiles, SceneMap

MOST_OPEN = 8
"""Maps whose files stay open; the one that was not asked for longest is closed first."""
JOB, PICTURE = "job-", "scene-"


def scene_map_name(scene: str) -> str:
    """The name of a scene's map: one part of an address, whatever the name of the scene."""
    return PICTURE + base64.urlsafe_b64encode(scene.encode()).decode().rstrip("=")


class RootLibrary:
    """A `Library` of what lies in a root."""

    def __init__(self, root: Root, jobs: Jobs) -> None:
        self._root, self._jobs, self._lock = root, jobs, threading.Lock()
        self._open: OrderedDict[str, SceneMap] = OrderedDict()

    def get(self, name: str) -> SceneMap:
        """The map of a scene, or of a finished job. Raises RequestError where there is none."""
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
            self._open[name] = shown = self._opened(name)
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].close()
        return shown

    def forget(self, name: str) -> None:
        """Close a map whose files are about to go."""
        with self._lock:
            if name in self._open:
                self._open.pop(name).close()

    def _opened(self, name: str) -> SceneMap:
        if name.startswith(JOB):
            record = self._jobs.get(name.removeprefix(JOB))
            if record.status is not Status.SUCCESSFUL:
                raise RequestError(404, f"job {record.id} has no map, since it is {record.status.value}.")
            return self._job(record)
        if name.startswith(PICTURE):
            scene = _decoded(name.removeprefix(PICTURE))
            path = self._root.scene(scene)
            self._root.require_size(path)
            return SceneMap(scene, MapFiles(scene=path))
        raise RequestError(404, "there is no such map.")

    def _job(self, record: Record) -> SceneMap:
        folder = self._jobs.folder(record.id)
        files = MapFiles(folder / FOOTPRINTS, folder / SCENE, folder / PROBABILITY, self._optical(record))
        return SceneMap(f"{record.inputs.scene}", files)

    def _optical(self, record: Record) -> Path | None:
        """The first sheet of a job's optical image; None where it had none, or it has been removed since."""
        try:
            return None if record.inputs.optical is None else self._root.scene(record.inputs.optical.files[0])
        except RequestError:
            return None


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:  # of base64 and of UTF-8
        raise RequestError(404, "there is no such map.") from None
