"""The wheel holds all that a user needs: built, installed beside the same packages, and used from there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import geopandas
import pytest
from where import ROOT

import overcast as oc

PARTS = ("pyproject.toml", "README.md", "LICENSE", "src")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of this checkout, so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PARTS:
        part = ROOT / name
        hidden = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(part, source / name, ignore=hidden) if part.is_dir() else shutil.copy(part, source / name)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (found,) = folder.glob("overcast-*.whl")
    return found


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path):
    package = ROOT / "src" / "overcast"
    files = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    wanted = {name for name in files if "__pycache__" not in name}
    assert wanted > {"overcast/py.typed", "overcast/report/templates/report.html"}
    with zipfile.ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set()


def test_predict_runs_from_an_installed_wheel(wheel: Path, tmp_path: Path):
    """The environment has the packages of this one, but no trace of the checkout."""
    settings = ["seed=31", "places=0", "scenes=1", "scene_m=192", "gsd_m=1", "city.built_share=0.9"]
    scene = oc.simulate(tmp_path / "city", "demo", settings) / "scenes" / "scene0000" / "sar.tif"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = tmp_path / "env" / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = [str(python), "-c", "import overcast; print(overcast.__file__)"]
    imported = subprocess.run(where, check=True, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert Path(imported.stdout.strip()).parent == site / "overcast"
    command = [str(python.with_name("overcast")), "predict", str(scene), "-o", "footprints.gpkg"]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    assert len(geopandas.read_file(tmp_path / "footprints.gpkg", layer="footprints")) > 3
