"""The models that jobs may choose: folders of the user, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overcast.bundle.contract import INSTALLED, bundle_folder, require_contract
from overcast.errors import OvercastError
from overcast.viewer.answers import RequestError


@dataclass(frozen=True)
class Models:
    """Bundles and run folders in one folder; None: the installed model alone."""

    folder: Path | None = None

    def path(self, name: str) -> Path | None:
        """The folder of a model; None for the installed one. Raises RequestError where there is none."""
        if name in {"", INSTALLED.name}:
            return None
        known = {path.name: path for path in self._folders()}
        if name not in known:
            raise RequestError(404, f"there is no model {name[:80]!r}.")
        return known[name]

    def listed(self) -> list[dict[str, Any]]:
        """Name and what each model maps from; the installed one first. Folders that hold no model are passed over."""
        found = []
        for path in (INSTALLED, *self._folders()):
            try:
                sensor = require_contract(bundle_folder(path)).sensor
            except (OvercastError, OSError):
                continue
            about = sensor.model_dump(mode="json", include={"bands", "unit", "gsd_m", "radar_side"})
            found.append({"name": path.name, **about})
        return found

    def _folders(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
