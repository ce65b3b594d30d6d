"""Records of installed models: copies of the packaged one's that say other things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from overcast.bundle.contract import INSTALLED


def write_record(folder: Path, *, sar: dict[str, Any], simulated: bool = True, **more: Any) -> Path:
    """A model whose record is whole and whose weights are empty, for what reads records alone."""
    record = json.loads((INSTALLED / "bundle.json").read_text(encoding="utf-8"))
    record["radiometry"]["sar"] |= sar
    count = len(record["radiometry"]["sar"]["bands"])
    record["statistics"]["sar"] = {"mean": [30.0] * count, "std": [7.0] * count}
    record["data"]["simulated"] = simulated
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(record | more), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    return folder
