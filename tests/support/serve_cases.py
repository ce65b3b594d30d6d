"""A root for the tests of the server of jobs, and jobs without the network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raster_files import write_tiff
from viewer_cases import Answer, Client, write_layers

from overcast.server.root import Limits

LIMITS = Limits(upload_bytes=400_000, quota_bytes=2_000_000, pixels=300_000, waiting=3)
STAND_IN = """
import json, pathlib, shutil, sys, time
order, files = sys.argv[1], json.loads(sys.argv[2])
scene = pathlib.Path(files["scene"])
say = lambda value: print(json.dumps(value), flush=True)
if order == "check" and json.loads(sys.argv[3])["radar_side"]:
    say({"ready": {"steps": ["HH: band 1, dB"], "km2": 0.25}})
    sys.exit(0)
if order == "check":
    say({"error": f"{scene} does not say from which side the radar looked; give --radar-side north."})
    sys.exit(2)
folder = pathlib.Path(sys.argv[3])
(folder / "files.json").write_text(sys.argv[2])
say({"stage": "predict", "done": 1.0, "total": 4.0, "remaining_s": 9.0})
if scene.stem == "hostile":
    sys.exit(-11)
if scene.stem == "bad":
    say({"error": f"{scene} is damaged; copy it again."})
    sys.exit(2)
while scene.stem == "slow" and not (folder.parent.parent / "go").exists():
    time.sleep(0.02)
for name in ("footprints.gpkg", "probability.tif", "scene.tif"):
    shutil.copy(folder.parent.parent.parent / "layers" / name, folder / name)
say({"result": {"footprints": 36, "km2": 1.0, "optical_share": 0.5 if files["optical"] else None}})
"""
"""A job without the network, which is loaded for seconds: the real one is in `test_serve_real.py`."""


def make_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with four small scenes, and files outside of it that must stay there."""
    write_layers(tmp_path / "layers")
    root = tmp_path / "root"
    for name in ("town.tif", "slow.tif", "bad.tif", "hostile.tif", "deep/er/scene.tiff"):
        write_tiff(root / name, np.ones((2, 20, 20), np.float32))
    write_tiff(tmp_path / "secret.tif", np.ones((2, 20, 20), np.float32))
    (root / "link.tif").symlink_to(tmp_path / "secret.tif")
    (root / "outside").symlink_to(tmp_path)
    (root / "all.vrt").write_text("<VRTDataset rasterXSize='1' rasterYSize='1'/>", encoding="utf-8")
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN, encoding="utf-8")
    monkeypatch.setattr("overcast.server.jobs._command", lambda arguments: [sys.executable, str(script), *arguments])
    return root


JSON = {"Content-Type": "application/json"}


def execute(client: Client, scene: str, **inputs: Any) -> Answer:
    body = json.dumps({"inputs": {"scene": scene, **inputs}})
    return client.ask("/processes/predict/execution", "POST", body, JSON)
