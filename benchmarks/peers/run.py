"""Whole-scene prediction by Overcast and by what people use instead: same network, same scene, one run.

    python benchmarks/peers/run.py --environments ../peers --size 4096 --output scenes.md
    python benchmarks/peers/run.py --environments ../peers --folder ../peers/scene --size 4096 --prepare
    python benchmarks/peers/run.py --environments ../peers --one-stream runs/one/bundle --rounds 3 --output scenes.md

Each peer runs in a process and, where it needs one, an environment of its own (made when missing, from
requirements-<peer>.txt), from the scene's file to a raster of probability, float32 but for the row of 8 bits, and a
file of polygons along pixel edges. `--prepare` makes environments, scene and weights and stops; `--folder` keeps
scene, weights and results. With `--rounds` all peers run again and again in turn; the table has medians of the
seconds, least and most in brackets. With `--one-stream` the rows of a model that `overcast distil` made stand beside
them: another network than that of the peers, so they are compared with their own untiled result. README.md has what
all this takes of disk, time and network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import python_of
from material import statistics, write_scene, write_weights
from measures import Result, compare
from table import Row, median_row, print_table

from overcast.bundle.bundle import Bundle, load_bundle
from overcast.models.network import SingleNetwork
from overcast.raster.units import Unit

HERE = Path(__file__).parent
BANDS = ("HH", "HV", "VH", "VV")
REFERENCE, FIRST, OWN_REFERENCE = "whole", "overcast-first", "one-whole"
AGAIN = ("overcast-openvino", "overcast-bf16", "overcast-8bit")


@dataclass(frozen=True)
class Peer:
    """One row of the table."""

    label: str
    adapter: str
    environment: str | None = None
    """None: it needs nothing that Overcast does not install."""
    tile: int | None = None
    overlap: int | None = None
    runtime: str = "eager"
    precision: str = "fp32"
    encoding: str = "float32"
    """Of the raster of probability."""
    one_stream: bool = False
    """It runs the model of `--one-stream`."""

    def reference(self) -> str:
        """Name of the untiled result of the same network."""
        return OWN_REFERENCE if self.one_stream else REFERENCE


@dataclass(frozen=True)
class Material:
    """What all peers are given."""

    scene: Path
    weights: Path
    bundle: Bundle | None
    """Of `--one-stream`."""


TILE, OVERLAP = 768, 64
"""About what Overcast takes by itself, for every peer."""
PEERS = {
    REFERENCE: Peer("untiled, whole scene at once", "whole"),
    "plain": Peer("by hand: windows, eager, shapes", "plain"),
    "terratorch": Peer("TerraTorch", "terratorch", "terratorch"),
    "geoai": Peer("geoai", "geoai", "geoai"),
    "rastervision": Peer("Raster Vision", "rastervision", "rastervision"),
    "overcast": Peer("**Overcast**, eager", "overcast"),
    FIRST: Peer("**Overcast**, OpenVINO, first time", "overcast", runtime="openvino"),
    AGAIN[0]: Peer("**Overcast**, OpenVINO, export kept", "overcast", runtime="openvino"),
    AGAIN[1]: Peer("**Overcast**, OpenVINO, bfloat16", "overcast", runtime="openvino", precision="bf16"),
    AGAIN[2]: Peer(
        "**Overcast**, OpenVINO, bfloat16, 8 bits", "overcast", runtime="openvino", precision="bf16", encoding="uint8"
    ),
    "plain-768": Peer("by hand, 768 px tiles", "plain", tile=TILE, overlap=OVERLAP),
    "terratorch-768": Peer("TerraTorch, 768 px tiles", "terratorch", "terratorch", tile=TILE, overlap=OVERLAP),
    "geoai-768": Peer("geoai, 768 px tiles", "geoai", "geoai", tile=TILE, overlap=OVERLAP),
    "rastervision-768": Peer("Raster Vision, 768 px tiles", "rastervision", "rastervision", tile=TILE, overlap=OVERLAP),
    OWN_REFERENCE: Peer("one stream, untiled, whole scene at once", "whole", one_stream=True),
    "one-eager": Peer("**Overcast**, one stream, eager", "overcast", one_stream=True),
    "one-openvino": Peer("**Overcast**, one stream, OpenVINO", "overcast", runtime="openvino", one_stream=True),
    "one-bf16": Peer(
        "**Overcast**, one stream, bfloat16", "overcast", runtime="openvino", precision="bf16", one_stream=True
    ),
    "one-8bit": Peer(
        "**Overcast**, one stream, bfloat16, 8 bits",
        "overcast",
        runtime="openvino",
        precision="bf16",
        encoding="uint8",
        one_stream=True,
    ),
    "one-int8": Peer(
        "**Overcast**, one stream, int8, 8 bits",
        "overcast",
        runtime="openvino",
        precision="int8",
        encoding="uint8",
        one_stream=True,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--peers", nargs="+", choices=PEERS, metavar="PEER", help=f"all by default: {', '.join(PEERS)}")
    parser.add_argument("--one-stream", type=Path, metavar="BUNDLE", help="bundle of `overcast distil`, for its rows")
    parser.add_argument("--size", type=int, default=4096, help="side of the scene in pixels, a multiple of 32")
    parser.add_argument("--rounds", type=int, default=1, help="how often each peer runs; 1 by default")
    parser.add_argument("--folder", type=Path, help="keep scene, weights and results here")
    parser.add_argument("--output", type=Path, help="write the table into this Markdown file")
    parser.add_argument("--prepare", action="store_true", help="make environments, scene and weights, and stop")
    given = parser.parse_args()
    if given.size % 32:
        parser.error("--size must be a multiple of 32")
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    chosen = given.peers or [name for name, peer in PEERS.items() if given.one_stream or not peer.one_stream]
    if given.one_stream is None and any(PEERS[name].one_stream for name in chosen):
        parser.error("rows of one stream need --one-stream BUNDLE")
    bundle = None if given.one_stream is None else fitting_bundle(given.one_stream)
    names = ordered(chosen)
    pythons = {name: python_of(PEERS[name].environment, given.environments) for name in names}
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        material = prepare(folder, given.size, bundle)
        if given.prepare:
            return
        rows: dict[str, list[Row]] = {}
        try:
            for name in names * given.rounds:
                rows.setdefault(name, []).append(measured(name, pythons[name], material))
        except KeyboardInterrupt:
            print("interrupted: the table holds what is done", file=sys.stderr)
    print_table([median_row(runs) for runs in rows.values()], given.size, given.output)


def ordered(chosen: list[str]) -> list[str]:
    """The peers to run: untiled references first, and before a kept export the run that makes it."""
    needed = {*chosen, *(PEERS[name].reference() for name in chosen)}
    needed |= {FIRST, REFERENCE} if set(AGAIN) & set(chosen) else set()
    return [name for name in PEERS if name in needed]


def prepare(folder: Path, size: int, bundle: Bundle | None) -> Material:
    """Scene and weights, made where they are missing."""
    scene, weights = folder / f"scene-{size}.tif", folder / "weights.pt"
    for path, write in ((scene, lambda part: write_scene(part, size)), (weights, write_weights)):
        if not path.exists():
            print(f"making {path.name} ...", file=sys.stderr, flush=True)
            part = path.with_name(f"part-{path.name}")
            write(part)
            part.rename(path)
    return Material(scene, weights, bundle)


def fitting_bundle(folder: Path) -> Bundle:
    """The bundle of one stream; ends with a sentence where the scene is not what it was trained for."""
    found = load_bundle(folder)
    sensor = found.info.radiometry.sar
    if not isinstance(found.standardised_network, SingleNetwork):
        sys.exit(f"{folder} is no model of one stream; make one with overcast distil.")
    if (sensor.bands, sensor.unit, sensor.gsd_m) != (BANDS, Unit.DECIBEL, 1.0):
        sys.exit(f"{folder} was trained on other radar than {', '.join(BANDS)} in dB at 1 m; distil one that was not.")
    return found


def job_of(peer: Peer, output: Path, material: Material) -> dict[str, Any]:
    """What the adapter of a peer is told."""
    own = material.bundle if peer.one_stream else None
    pixels = statistics() if own is None else own.info.statistics.sar
    job: dict[str, Any] = {"scene": str(material.scene), "weights": str(material.weights), "output": str(output)}
    job |= {"mean": pixels.mean, "std": pixels.std, "tile": peer.tile, "overlap": peer.overlap}
    job |= {"runtime": peer.runtime, "precision": peer.precision, "encoding": peer.encoding}
    return job | {"bundle": None if own is None else str(own.path.absolute())}


def measured(name: str, python: Path, material: Material) -> Row:
    """Run a peer in a process of its own and compare what it leaves with the untiled result."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    peer, scene = PEERS[name], material.scene
    output = scene.with_name(f"{scene.stem}-{name}")
    output.mkdir(exist_ok=True)
    for old in output.iterdir():
        if old.is_file():
            old.unlink()
    path = scene.with_name(f"{output.name}.json")
    path.write_text(json.dumps(job_of(peer, output, material)), encoding="utf-8")
    command = [python, HERE / f"adapter_{peer.adapter}.py", path]
    cache = scene.with_name("cache")
    if name == FIRST:
        shutil.rmtree(cache, ignore_errors=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(cache))
    (output / "log.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return Row(name, peer.label, failure=f"exit {done.returncode}: {lines[-1]}")
    facts = json.loads(done.stdout.strip().splitlines()[-1])
    reference = Result.read(scene.with_name(f"{scene.stem}-{peer.reference()}"))
    borders = tuple(facts["borders"][0]), tuple(facts["borders"][1])
    return Row(name, peer.label, facts=facts, comparison=compare(Result.read(output), reference, borders))


def environment(cache: Path) -> dict[str, str]:
    """No GPU, no model hub; Overcast's exports in `cache`."""
    hidden = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    return {**os.environ, **hidden, "XDG_CACHE_HOME": str(cache)}


if __name__ == "__main__":
    main()
