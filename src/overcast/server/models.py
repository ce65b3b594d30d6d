"""The models that jobs may choose: folders of the user, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overcast.bundle.contract import bundle_folder, require_contract
from overcast.errors import OvercastError
from overcast.installed.folders import installed_models
from overcast.viewer.answers import RequestError


@dataclass(frozen=True)
class Models:
    """Bundles and run folders in one folder, beside the installed models; None: those alone."""

    folder: Path | None = None

    def path(self, name: str) -> Path | None:
        """The folder of a model; None for the installed one that fits. Raises RequestError where there is none."""
        if not name:
            return None
        known = self._known()
        if name not in known:
            raise RequestError(404, f"there is no model {name[:80]!r}.")
        return known[name]

    def listed(self) -> list[dict[str, Any]]:
        """Name and what each model maps from; installed ones first. Folders that hold no model are passed over."""
        found = []
        for name, path in self._known().items():
            try:
                sensor = require_contract(bundle_folder(path)).sensor
            except (OvercastError, OSError):
                continue
            about = sensor.model_dump(mode="json", include={"bands", "unit", "gsd_m", "radar_side"})
            found.append({"name": name, **about})
        return found

    def _known(self) -> dict[str, Path]:
        """By name; that of an installed model is no other's."""
        installed = {model.name: model.folder for model in installed_models()}
        return installed | {path.name: path for path in self._folders() if path.name not in installed}

    def _folders(self) -> list[Path]:
        if self.folder is None or not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
