"""What is said before a network is loaded: all that is missing at once, in a second, and with the right remedy."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepare_miniatures import BANDS, in_db, power, write
from rasterio.control import GroundControlPoint
from typer.testing import CliRunner

from overcast.bundle.contract import INSTALLED, bundle_name, read_contract
from overcast.cli import app
from overcast.errors import BundleError, InputError, RadiometryError, remedy
from overcast.outputs.writable import scratch_path
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.raster.radiometry import SensorRadiometry, Unit, check_same
from overcast.scenes.ahead import look_ahead
from overcast.scenes.declare import scene_radiometry

PROGRAM = """
import resource, sys
sys.argv = ["overcast", *sys.argv[1:]]
from overcast.cli import main
try:
    main()
except SystemExit as end:
    heavy = {"torch", "timm", "lightning", "onnxruntime", "geopandas"} & set(sys.modules)
    print(end.code or 0, *sorted(heavy))
"""


def without_torch(*arguments: str) -> tuple[str, str]:
    """Exit code with the heavy libraries that were imported, and what was said, of a command in its own process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1], done.stderr


def scene(folder: Path, **more: Any) -> Path:
    return write(folder / "scene.tif", in_db(power()).astype("float32"), **more)


def test_what_is_not_declared_is_said_without_pytorch(tmp_path):
    code, said = without_torch("predict", str(scene(tmp_path)), "-o", str(tmp_path / "f.gpkg"))
    assert code == "2"
    assert "does not declare its bands and unit; give them on the command line" in said


def test_what_the_model_refuses_is_said_without_pytorch(tmp_path):
    path = str(scene(tmp_path, names=BANDS))
    code, said = without_torch("predict", path, "-o", str(tmp_path / "f.gpkg"), "--unit", "amplitude")
    assert code == "2"
    assert "unit amplitude, but model buildings-simulated-1m has dB" in said


def test_a_scene_is_prepared_without_pytorch(tmp_path):
    path, output = str(scene(tmp_path, names=BANDS)), tmp_path / "p.tif"
    code, said = without_torch("prepare", path, "--unit", "dB", "--radar-side", "north", "-o", str(output))
    assert (code, output.is_file()) == ("0", True), said


def test_everything_that_a_scene_does_not_declare_is_asked_at_once(tmp_path):
    path = scene(tmp_path, crs=None)
    with pytest.raises(RadiometryError) as caught:
        scene_radiometry([path])
    for words in ("bands and unit and gsd_m", "--bands HH,HV,VH,VV --unit dB --set gsd_m=0.5", "into scene.yaml"):
        assert words in str(caught.value)


def test_bands_that_are_declared_otherwise_than_the_file_names_them_are_told(tmp_path):
    path = scene(tmp_path, names=("VV", "HH", "hv", "VH"))
    given = {"bands": BANDS, "unit": "dB"}
    with pytest.raises(RadiometryError, match="calls its bands VV, HH, hv, VH, but HH, HV, VH, VV are declared"):
        scene_radiometry([path], given)
    assert scene_radiometry([path], {**given, "accept_values": True}).bands == BANDS
    assert scene_radiometry([path], {**given, "bands": ("VV", "HH", "VH", "HV")})  # reciprocity
    model = read_contract(INSTALLED)
    assert model is not None
    with pytest.raises(RadiometryError, match=r"--bands HH,HV,VH,VV contradicts the files.*example HH=.*scene\.tif@1"):
        prepare_scene([path], model, tmp_path / "o.tif", PrepareOptions(unit=Unit.DECIBEL, bands=BANDS))
    with pytest.raises(InputError, match=r"scene\.tif is named twice"):
        scene_radiometry([path, path], given)


def test_all_differences_from_a_model_are_told_at_once():
    model = SensorRadiometry(bands=("HH", "VV"), unit=Unit.DECIBEL, gsd_m=1.0)
    found = SensorRadiometry(bands=("VV",), unit=Unit.AMPLITUDE, gsd_m=0.5)
    with pytest.raises(RadiometryError) as caught:
        check_same(model, found, expected_name="model town", found_name="a.tif")
    for words in ("bands [VV], unit amplitude, pixels of 0.5 m, but model town has bands [HH, VV]", "prepare"):
        assert words in str(caught.value)


@pytest.mark.parametrize("names", [("hh", "vv"), ("Sigma0_VV_db", "Sigma0_HH_db"), ("VV", "HH")])
def test_other_names_of_the_same_polarisations_point_to_prepare(names):
    model = SensorRadiometry(bands=("HH", "VV"), unit=Unit.DECIBEL, gsd_m=1.0)
    with pytest.raises(RadiometryError, match="overcast prepare gives them these names and this order"):
        check_same(model, model.model_copy(update={"bands": names}), expected_name="model town", found_name="a.tif")


def test_bundles_are_called_as_their_run(tmp_path, monkeypatch):
    folder = tmp_path / "town" / "bundle"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_bytes((INSTALLED / "bundle.json").read_bytes())
    contract = read_contract(folder)
    assert contract is not None
    assert contract.name == bundle_name(tmp_path / "town" / "full") == "town"
    monkeypatch.chdir(folder)
    assert bundle_name(Path()) == bundle_name(Path("../bundle")) == "town"


@pytest.mark.parametrize("text", ["{", "[]", '{"inputs": ["sar"]}'])
def test_damaged_records_are_told_in_one_sentence(tmp_path, text):
    (tmp_path / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match="copy the bundle again"):
        read_contract(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOENT])
def test_only_a_full_disk_asks_for_space(number):
    full = number in {errno.ENOSPC, errno.EDQUOT}
    assert ("space" in remedy(OSError(number, "said"))) is full


@pytest.mark.parametrize("text", ["2024-05-06", "2024-05-06T07:08:09.123Z", "2024-05-06T09:08:09+02:00"])
def test_times_of_iso_8601_are_taken(tmp_path, text):
    """They get as far as the scene, which does not exist."""
    asked = ["predict", str(tmp_path / "no.tif"), "-p", str(tmp_path / "p.tif"), "--set", f"acquired={text}"]
    assert "no time" not in CliRunner().invoke(app, asked).output
    refused = CliRunner().invoke(app, [*asked[:-1], "acquired=yesterday"])
    assert "is not a time; write" in str(refused.exception)


def test_radar_geometry_is_told_with_the_product_to_order(tmp_path):
    points = [GroundControlPoint(r, c, 3.5 + c * 1e-5, 50.5 - r * 1e-5, 0) for r in (0, 90) for c in (0, 110)]
    path = write(
        tmp_path / "s1a-iw-grd-vv-x.tif", np.ones((1, 90, 110), "uint16"), crs="EPSG:4326", gcps=points, transform=None
    )
    for declared in ({}, {"gsd_m": 10.0}):
        with pytest.raises(InputError, match=r"radar geometry.*Sentinel-1 RTC, ready from OPERA.*prepare --gcps"):
            scene_radiometry([path], declared)


def test_outputs_that_exist_are_told_ahead_but_not_those_of_a_killed_run(tmp_path):
    path, target = scene(tmp_path, names=BANDS), tmp_path / "f.gpkg"
    target.touch()
    contract = read_contract(INSTALLED)
    declared = {"unit": "dB", "radar_side": "north"}
    with pytest.raises(InputError, match="exists; name another file"):
        look_ahead([path], declared, contract, [target], overwrite=False)
    scratch_path(target).mkdir()
    assert look_ahead([path], declared, contract, [target], overwrite=False).bands == BANDS
