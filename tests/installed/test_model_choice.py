"""Which installed model takes a scene: by what it declares, told in one line, without PyTorch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed_cases import write_record
from prepare_miniatures import BANDS, in_db, power, write
from test_ahead import without_torch

import overcast as oc
from overcast.bundle.contract import INSTALLED
from overcast.errors import BundleError, RadiometryError
from overcast.installed.folders import installed_models, is_name, model_folder, start_folder, user_folder
from overcast.installed.scenes import model_for_array, model_for_files, model_for_many, model_to_prepare_for
from overcast.server.models import Models
from overcast.server.records import Inputs, Optical
from overcast.server.work import Files, chosen, kept_choice

DECLARED = {"unit": "dB", "radar_side": "north"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder with three models: of one band, of two at 10 m, and one like the packaged."""
    folder = tmp_path / "models"
    monkeypatch.setenv("OVERCAST_MODELS", str(folder))
    write_record(folder / "one-band", sar={"bands": ["VV"]}, simulated=False)
    write_record(folder / "sentinel1", sar={"bands": ["VV", "VH"], "gsd_m": 10.0})
    return folder


def scene(folder: Path, bands: tuple[str, ...] = BANDS, **more: Any) -> Path:
    values = in_db(power()).astype("float32")[[BANDS.index(band) for band in bands]]
    return write(folder / "scene.tif", values, names=bands, **more)


def test_models_lie_in_the_folder_of_the_variable_or_of_the_system(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERCAST_MODELS", str(tmp_path / "a"))
    assert user_folder() == tmp_path / "a"
    monkeypatch.delenv("OVERCAST_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert user_folder() == tmp_path / "overcast" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder() == tmp_path / ".local/share/overcast/models"


def test_names_mean_installed_models_and_paths_mean_folders(own, tmp_path, monkeypatch):
    assert [(model.name, model.packaged) for model in installed_models()][-2:] == [
        ("one-band", False),
        ("sentinel1", False),
    ]
    assert model_folder("one-band") == own / "one-band"
    assert model_folder(INSTALLED.name) == start_folder(INSTALLED.name) == INSTALLED
    write_record(tmp_path / "one-band", sar={})
    monkeypatch.chdir(tmp_path)
    assert model_folder("one-band") == own / "one-band"
    assert model_folder("./one-band") == model_folder(Path("one-band")) == Path("one-band")
    with pytest.raises(
        BundleError, match=r"nowhere is neither a folder nor an installed model; installed are .*one-band"
    ):
        model_folder("nowhere")


def test_nobody_takes_the_name_of_a_packaged_model(own):
    write_record(own / INSTALLED.name, sar={"bands": ["HH"]})
    write_record(own / ".hidden", sar={})
    (own / "empty").mkdir()
    assert model_folder(INSTALLED.name) == INSTALLED
    assert sorted(model.name for model in installed_models() if not model.packaged) == ["one-band", "sentinel1"]


@pytest.mark.parametrize("name", ["", ".a", "a/b", "..", "a b", "bundle", "full", "-a", "a" * 101, "a\n", "é"])
def test_names_are_plain(name):
    assert not is_name(name)


@pytest.mark.parametrize(
    ("bands", "chosen"),
    [
        (BANDS, INSTALLED.name),
        (("VV",), "one-band"),
        (("HH",), "one-band-simulated-1m"),
        (("HV",), None),
        (("VV", "VH"), None),
    ],
)
def test_the_model_that_takes_the_bands_is_chosen(own, tmp_path, bands, chosen):
    path = scene(tmp_path, bands)
    if chosen is None:
        with pytest.raises(RadiometryError) as caught:
            model_for_files([path], DECLARED)
        for name in (INSTALLED.name, "one-band", "sentinel1"):
            assert str(caught.value).count(f"model {name} has") == 1
        return
    choice = model_for_files([path], DECLARED)
    assert choice.model.name == chosen
    assert f"takes {', '.join(bands)} in dB at" in choice.sentence
    assert "\n" not in choice.sentence


def test_of_several_the_nearest_pixel_then_the_measured_then_the_users_is_chosen(own, tmp_path):
    path = scene(tmp_path)
    gsd_m = model_for_files([path], DECLARED).model
    assert gsd_m.packaged
    write_record(own / "zebra", sar={})
    assert model_for_files([path], DECLARED).model.name == "zebra"
    write_record(own / "zulu", sar={}, simulated=False)
    assert model_for_files([path], DECLARED).model.name == "zulu"
    write_record(own / "near", sar={"gsd_m": 0.95})
    choice = model_for_files([path], DECLARED | {"gsd_m": 0.96})
    assert choice.model.name == "near"
    assert "the closest of 4 that fit; added by you, trained on simulated radar" in choice.sentence


def test_an_optical_image_asks_for_a_model_with_every_branch(own, tmp_path):
    write_record(own / "both", sar={"gsd_m": 1.05}, kind="full")
    assert model_for_files([scene(tmp_path)], DECLARED).model.name == INSTALLED.name
    assert model_for_files([scene(tmp_path)], DECLARED, every_branch=True).model.name == "both"


def test_a_damaged_record_is_told_and_passed_over(own, tmp_path):
    (own / "one-band" / "bundle.json").write_text("{")
    assert model_for_files([scene(tmp_path)], DECLARED).model.name == INSTALLED.name
    with pytest.raises(RadiometryError, match=r"one-band.*remove|one-band.*copy the bundle again"):
        model_for_files([scene(tmp_path, ("HV",))], DECLARED)


def test_many_scenes_are_mapped_by_the_model_of_the_first(own, tmp_path):
    (tmp_path / "scenes").mkdir()
    scene(tmp_path / "scenes", ("VV",))
    assert model_for_many([str(tmp_path / "scenes")], DECLARED).model.name == "one-band"
    (tmp_path / "scenes" / "a.tif").write_bytes(b"")
    assert model_for_many([str(tmp_path / "scenes")], DECLARED).model.name == INSTALLED.name


def test_an_input_is_prepared_for_the_model_that_uses_most_of_its_bands(own, tmp_path):
    assert model_to_prepare_for([scene(tmp_path)], None).model.name == INSTALLED.name
    assert model_to_prepare_for([scene(tmp_path, ("VV", "VH"))], None).model.name == "sentinel1"
    assert model_to_prepare_for([scene(tmp_path, ("HH", "VV"))], None).model.name == "one-band"
    unnamed = write(tmp_path / "x.tif", in_db(power()).astype("float32")[:1])
    assert "does not say yet" in model_to_prepare_for([unnamed], None).sentence
    assert model_to_prepare_for([unnamed], ("VV",)).model.name == "one-band"
    with pytest.raises(RadiometryError, match=r"has HV at .*model sentinel1 needs VV, VH too; .*add what is missing"):
        model_to_prepare_for([unnamed], ("HV",))


def test_an_array_takes_the_model_of_its_bands(own):
    assert model_for_array((4, 8, 8), None).model.name == INSTALLED.name
    assert model_for_array((1, 8, 8), None).model.name == "one-band"
    assert model_for_array((2, 8, 8), {"gsd_m": 10.0}).model.name == "sentinel1"
    with pytest.raises(RadiometryError, match=r"shape \(3, 8, 8\)"):
        model_for_array((3, 8, 8), None)


def test_predict_says_which_model_and_why_in_one_line():
    said = oc.predict(np.random.default_rng(0).normal(30, 5, (4, 64, 64)).astype(np.float32)).model
    assert said.startswith(f"model {INSTALLED.name}: ")
    assert said.endswith("installed with Overcast, trained on simulated radar")


def test_the_choice_and_its_refusal_need_no_pytorch(own, tmp_path):
    assert os.environ["OVERCAST_MODELS"] == str(own)
    path, target = scene(tmp_path, ("VV", "VH")), tmp_path / "f.gpkg"
    code, said = without_torch("predict", str(path), "--unit", "dB", "-o", str(target))
    assert code == "2"
    assert "no installed model takes the scene as it is." in said
    code, said = without_torch("predict", str(path), "-o", str(target))
    assert code == "2"
    assert "does not declare its unit" in said
    prepared = tmp_path / "p.tif"
    code, said = without_torch(
        "prepare", str(scene(tmp_path)), "--unit", "dB", "--radar-side", "north", "-o", str(prepared)
    )
    assert (code, prepared.is_file()) == ("0", True), said
    assert f"model {INSTALLED.name}: takes HH, HV, VH, VV in dB at 1 m, of HH, HV, VH, VV" in said


def test_the_server_offers_installed_models(own):
    listed = Models().listed()
    assert [one["name"] for one in listed][-2:] == ["one-band", "sentinel1"]
    assert Models().path("") is None
    assert Models().path("one-band") == own / "one-band"


def test_a_job_keeps_the_model_that_it_began_with(own, tmp_path):
    path = scene(tmp_path, ("VV",))
    inputs = Inputs(scene="scene.tif", bands=["VV"])
    place, sentence = chosen(Files(scene=path), inputs)
    assert (place, str(sentence).startswith("model one-band: takes VV")) == (own / "one-band", True)
    assert kept_choice(tmp_path, lambda: place) == place
    assert kept_choice(tmp_path, lambda: INSTALLED) == place
    assert chosen(Files(scene=path, model=own / "sentinel1"), inputs) == (own / "sentinel1", None)


def test_a_job_with_an_optical_image_takes_a_model_with_every_branch(own, tmp_path):
    path, inputs = (
        scene(tmp_path, ("VV",)),
        Inputs(scene="scene.tif", bands=["VV"], optical=Optical(files=["ortho.tif"])),
    )
    write_record(own / "town" / "full", sar={"bands": ["VV"], "gsd_m": 1.05}, kind="full")
    write_record(own / "town" / "bundle", sar={"bands": ["VV"], "gsd_m": 1.05})
    assert chosen(Files(scene=path), inputs)[0] == own / "one-band"  # of a run what works from SAR alone is installed
    assert chosen(Files(scene=path, model=own / "town"), inputs)[0] == own / "town" / "full"
    write_record(own / "both", sar={"bands": ["VV"], "gsd_m": 1.05}, kind="full")
    assert chosen(Files(scene=path), inputs)[0] == own / "both"
