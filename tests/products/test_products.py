"""Products as they come: miniatures of published layouts, prepared without a word that their files say themselves."""

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import product_miniatures as miniature
import pytest
import rasterio
from prepare_miniatures import BANDS, in_db, model, power, read, write

from overcast.errors import InputError, OvercastError, RadiometryError
from overcast.fleet.scenes import find_scenes
from overcast.fleet.stac_items import stac_scenes
from overcast.preparation.aim import ForTraining
from overcast.preparation.options import PrepareOptions
from overcast.preparation.run import prepare_scene
from overcast.products.found import find_product
from overcast.raster.units import RadarSide, Unit
from overcast.scenes.declare import scene_radiometry
from overcast.scenes.model import SceneModel

LINEAR = ForTraining(Unit.LINEAR_POWER)
WEST = PrepareOptions(radar_side=RadarSide.WEST)


def prepared(tmp_path: Path, *inputs: object, options: PrepareOptions = WEST, aim: SceneModel | ForTraining = LINEAR):
    """Summary, band names and pixels of a product."""
    output = tmp_path / "prepared.tif"
    summary = prepare_scene([str(one) for one in inputs], aim, output, options)
    with rasterio.open(output) as dataset:
        return summary, dataset.descriptions, dataset.read()


def zipped(root: Path, target: Path) -> Path:
    """The folder as archives hold it."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
        archive.writestr("__MACOSX/._x.tif", b"\0")
    return target


@pytest.mark.parametrize("form", ["folder", "zip", "manifest", "parent"])
def test_sentinel1_is_placed_calibrated_and_its_radar_known(tmp_path, form):
    root = miniature.write_safe(tmp_path / "in")
    place = {"folder": root, "manifest": root / "manifest.safe", "parent": root.parent}.get(form)
    place = zipped(root, tmp_path / "product.zip") if place is None else place
    summary, names, values = prepared(tmp_path, place, options=PrepareOptions(gcps=True))
    assert names == ("VH", "VV")
    assert 90 < summary.plan.radar.azimuth_deg < 110  # descending, to its right: the radar stands in the east
    assert any("px" in step and "ground control points" in step for step in summary.plan.steps)
    assert summary.plan.placements[0].error_px[1] < 0.05
    raw = read(root / "measurement" / "s1a-iw-grd-vv-20240101t054321-20240101t054346-051912-0645a1-001.tiff")[0]
    rows, cols = np.nonzero(np.isfinite(values[1]))
    for row, col in list(zip(rows, cols, strict=True))[:: len(rows) // 12]:
        lon, lat = miniature.place_of(tmp_path / "prepared.tif", int(row), int(col))
        at = _pixel(lon, lat)
        around = raw[int(at[0] - 0.5) :, int(at[1] - 0.5) :][:2, :2].astype(float)
        assert around.min() <= np.sqrt(values[1, row, col]) * miniature.divisor(*at) <= around.max() * 1.02


def _pixel(lon: float, lat: float) -> tuple[float, float]:
    """Row and column that `seen` shows at a place, by Newton's steps."""
    at = np.array([45.0, 60.0])
    for _ in range(20):
        here = np.array(miniature.seen(*at))
        slope = np.array([np.array(miniature.seen(*(at + step))) - here for step in np.eye(2)]).T
        at = at + np.linalg.solve(slope, np.array([lon, lat]) - here)
    return float(at[0]), float(at[1])


def test_sentinel1_without_control_points_names_the_product_to_order(tmp_path):
    with pytest.raises(InputError, match=r"radar geometry.*RTC, ready from OPERA.*prepare --gcps"):
        prepared(tmp_path, miniature.write_safe(tmp_path))


def test_relief_is_told(tmp_path):
    root = miniature.write_safe(tmp_path, height_m=400)
    summary, _, _ = prepared(tmp_path, root, options=PrepareOptions(gcps=True))
    assert "not flat: their heights are 0 to 400 m" in summary.plan.notes[0]
    assert "RTC" in summary.plan.notes[0]


@pytest.mark.parametrize(("change", "said"), [("slc", "bursts"), ("empty", "no image in measurement")])
def test_other_products_of_sentinel1_are_told(tmp_path, change, said):
    root = miniature.write_safe(tmp_path, "slc" if change == "slc" else "grd")
    if change == "empty":
        for image in (root / "measurement").iterdir():
            image.unlink()
    with pytest.raises(InputError, match=said):
        find_product(root)


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0), (0, 110), (90, 0)],
        [(0, 0), (0, 50), (0, 110), (0, 80)],
        [(0, 0), (0, 0), (90, 110), (0, 110), (90, 0)],
    ],
    ids=["three", "in a line", "twice"],
)
def test_control_points_that_place_nothing_are_refused(tmp_path, points):
    listed = [rasterio.control.GroundControlPoint(r, c, *miniature.seen(r, c), 0) for r, c in points]
    path = write(tmp_path / "VV.tif", np.ones((1, 90, 110), "float32"), gcps=listed, crs="EPSG:4326", transform=None)
    with pytest.raises(InputError, match=r"control points|too little"):
        prepared(tmp_path, path, options=PrepareOptions(gcps=True, unit=Unit.LINEAR_POWER, radar_side=RadarSide.WEST))


def test_control_points_that_contradict_each_other_are_refused(tmp_path):
    points = miniature.control_points(90, 120)
    points[30].x += 0.02
    points[12].y -= 0.02
    path = write(tmp_path / "VV.tif", np.ones((1, 90, 120), "float32"), gcps=points, crs="EPSG:4326", transform=None)
    with pytest.raises(InputError, match="contradict each other"):
        prepared(tmp_path, path, options=PrepareOptions(gcps=True, unit=Unit.LINEAR_POWER, radar_side=RadarSide.WEST))


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("scale", ["p", "a", "d"])
def test_hyp3_takes_the_images_and_their_unit_by_name(tmp_path, scale, form):
    root = miniature.write_hyp3(tmp_path / "in", scale)
    place = root if form == "folder" else zipped(root, tmp_path / "hyp3.zip")
    _, names, values = prepared(tmp_path, place)
    assert names == ("VH", "VV")
    np.testing.assert_allclose(values, [miniature.power(1), miniature.power(0)], rtol=1e-4)


@pytest.mark.parametrize("form", ["folder", "h5", "nisar"])
def test_opera_needs_no_option(tmp_path, form):
    if form == "folder":
        place = miniature.write_opera(tmp_path / "in")
    elif form == "h5":
        place = miniature.write_opera_h5(tmp_path / "in" / f"{miniature.OPERA}.h5")
    else:
        group = "science/LSAR/GCOV/grids/frequencyA"
        place = miniature.write_opera_h5(tmp_path / "in" / "NISAR_L2.h5", group, ("VVVV", "VHVH"))
    summary, names, values = prepared(tmp_path, place, options=PrepareOptions())
    assert set(names) == {"VV", "VH"}
    np.testing.assert_array_equal(values[names.index("VV")], miniature.power(0))
    np.testing.assert_array_equal(values[names.index("VH")], miniature.power(1))
    assert summary.plan.grid.transform[:6] == (30, 0, 593000, 0, -30, 5750000)
    assert 250 < summary.plan.radar.azimuth_deg < 270  # ascending, to its right


def test_one_data_set_of_hdf5_can_be_named(tmp_path):
    path = miniature.write_opera_h5(tmp_path / "in" / "a b.h5", names=("first", "second"))
    options = PrepareOptions(unit=Unit.LINEAR_POWER, radar_side=RadarSide.WEST)
    _, names, values = prepared(tmp_path, f"VV=HDF5:{path}://data/second", options=options)
    assert names == ("VV",)
    np.testing.assert_array_equal(values[0], miniature.power(1))
    with pytest.raises(InputError, match="has no data set /data/third; it has"):
        prepared(tmp_path, f"VV=HDF5:{path}://data/third", options=options)


def test_hdf5_without_a_grid_says_what_it_holds(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["s_amp"] = np.ones((20, 20), "uint16")
    with pytest.raises(InputError, match=r"holds 1 data sets \(/s_amp\).*gdal_translate"):
        find_product(tmp_path / "x.h5")


@pytest.mark.parametrize("pointer", ["external link", "external storage", "virtual", "soft link"])
def test_hdf5_is_not_followed_to_other_files(tmp_path, pointer):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\1" * 4 * 60 * 70)
    other = miniature.write_opera_h5(tmp_path / "other.h5")
    path = miniature.write_opera_h5(tmp_path / "in.h5", names=("VH",))
    with h5py.File(path, "r+") as file:
        if pointer == "external link":
            file["data/VV"] = h5py.ExternalLink(str(other), "/data/VV")
        elif pointer == "soft link":
            file["data/VV"] = h5py.SoftLink("/data/VH")
        elif pointer == "external storage":
            file.create_dataset("data/VV", (60, 70), "float32", external=[(str(secret), 0, 4 * 60 * 70)])
        else:
            layout = h5py.VirtualLayout((60, 70), "float32")
            layout[:] = h5py.VirtualSource(str(other), "data/VV", (60, 70))
            file.create_virtual_dataset("data/VV", layout)
    product = find_product(path)
    assert product is not None
    assert [band.name for band in product.bands] == ["VH"]
    with pytest.raises(InputError, match="has no data set /data/VV"):
        prepared(tmp_path, f"VV=HDF5:{path}://data/VV")


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n" + b"\0" * 50, b"PK"])
@pytest.mark.parametrize("ending", [".h5", ".zip", ".dim"])
def test_damaged_products_are_told_in_one_sentence(tmp_path, content, ending):
    (tmp_path / f"x{ending}").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read|not readable"):
        find_product(tmp_path / f"x{ending}")


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-8", "UTF-16", "windows-1252"])
def test_snap_says_bands_unit_nodata_and_radar(tmp_path, encoding):
    path = miniature.write_dimap(tmp_path / "in", encoding)
    for place in (path, path.parent):
        summary, names, values = prepared(tmp_path, place, options=PrepareOptions(overwrite=True))
        assert names == ("VH", "VV")
        assert np.isnan(values[:, :, :5]).all()
        np.testing.assert_array_equal(values[1, :, 5:], miniature.power(0)[:, 5:])
        assert 90 < summary.plan.radar.azimuth_deg < 110


def test_images_of_snap_find_their_description(tmp_path):
    folder = miniature.write_dimap(tmp_path / "in").with_suffix(".data")
    summary, _, _ = prepared(
        tmp_path,
        folder / "Sigma0_VV.img",
        folder / "Sigma0_VH.img",
        options=PrepareOptions(unit=Unit.LINEAR_POWER, nodata=(0.0,)),
    )
    assert "Zürich_TC.dim" in summary.plan.radar.source


def test_snap_with_two_bands_of_a_polarisation_asks_which(tmp_path):
    path = miniature.write_dimap(tmp_path, bands=("Sigma0_VV", "Gamma0_VV"))
    with pytest.raises(InputError, match=r"Gamma0_VV.img and Sigma0_VV.img, both VV; name"):
        find_product(path)


def test_metadata_that_were_read_and_do_not_say_are_not_asked_for_again(tmp_path):
    scene = write(tmp_path / "scene.tif", in_db(power()).astype("float32"), names=BANDS)
    (tmp_path / "m.xml").write_text('<d><MDATTR name="PASS">ASCENDING</MDATTR></d>')
    with pytest.raises(RadiometryError) as caught:
        prepared(tmp_path, scene, aim=model(), options=PrepareOptions(metadata=(tmp_path / "m.xml",)))
    assert "m.xml says ascending, which does not say where the radar stood" in str(caught.value)
    assert "--metadata" not in str(caught.value)


def test_capella_needs_no_unit(tmp_path):
    folder = miniature.write_capella(tmp_path / "in")
    _, names, values = prepared(tmp_path, folder)
    assert names == ("HH",)
    raw = read(next(folder.glob("*32.tif")))[0].astype(float)
    np.testing.assert_allclose(values[0], (raw * 0.002) ** 2, rtol=1e-5)


def test_umbra_takes_gec_and_its_polarisation(tmp_path):
    folder = miniature.write_umbra(tmp_path / "in")
    options = PrepareOptions(unit=Unit.AMPLITUDE, radar_side=RadarSide.WEST)
    _, names, values = prepared(tmp_path, folder, options=options)
    assert names == ("VV",)
    np.testing.assert_allclose(values[0], read(next(folder.glob("*_GEC.tif")))[0].astype(float) ** 2, rtol=1e-6)


def test_iceye_is_calibrated_and_placed_by_its_metadata(tmp_path):
    path = miniature.write_iceye(tmp_path / "in")
    summary, names, values = prepared(tmp_path, path, options=PrepareOptions(gcps=True))
    assert names == ("VV",)
    assert summary.plan.radar.azimuth_deg == pytest.approx(280)
    raw = read(path)[0].astype(float)
    assert np.nanmean(values[0]) == pytest.approx(float((raw**2).mean()) * 4e-6, rel=0.05)


def test_folders_that_hold_several_scenes_are_asked_about(tmp_path):
    for day in ("20240101", "20240113"):
        write(tmp_path / f"town_{day}_VV.tif", power()[:1])
    with pytest.raises(InputError, match=r"holds 2 images in VV.*one scene is prepared at a time"):
        find_product(tmp_path)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
@pytest.mark.parametrize("form", ["files", "folder", "by band"])
def test_tiles_are_one_scene(tmp_path, dtype, form):
    values = in_db(power(100, 130)).astype("float32")
    values[:, :20, :15] = np.nan if dtype.startswith("float") else -9999
    values = values.round().astype(dtype)
    more = {} if dtype.startswith("float") else {"nodata": -9999}
    if form == "by band":
        parts = [
            miniature.write_tiles(tmp_path / name, values[k : k + 1], 64, names=(name,), **more)
            for k, name in enumerate(BANDS)
        ]
        inputs = [str(path) for paths in parts for path in paths]
    else:
        paths = miniature.write_tiles(tmp_path / "in", values, 64, names=BANDS, **more)
        inputs = [str(tmp_path / "in")] if form == "folder" else [str(path) for path in reversed(paths)]
    options = PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
    summary, names, found = prepared(tmp_path, *inputs, options=options, aim=model())
    assert names == BANDS
    expected = np.where(np.isnan(values) | (values == -9999), np.nan, values.astype("float32"))
    np.testing.assert_array_equal(found, expected)
    assert len(summary.plan.paths) == 6 * (4 if form == "by band" else 1)
    item = json.loads((tmp_path / "prepared.prepared.stac.json").read_text())
    assert len(item["properties"]["overcast:inputs"]) == len(summary.plan.paths)


def test_files_of_one_name_that_are_no_tiles_are_refused(tmp_path):
    values = in_db(power()).astype("float32")
    paths = [str(write(tmp_path / f"{k}.tif", values, names=BANDS)) for k in range(2)]
    with pytest.raises(RadiometryError, match="are both called HH"):
        prepared(tmp_path, *paths, aim=model(), options=PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH))


def test_tiles_with_gaps_and_no_nodata_are_refused(tmp_path):
    paths = miniature.write_tiles(tmp_path / "in", np.full((4, 100, 130), 7, "int16"), 64, names=BANDS)
    with pytest.raises(InputError, match="leave gaps"):
        prepared(tmp_path, *paths[:-1], aim=model(), options=PrepareOptions(unit=Unit.DECIBEL))


def test_tiles_are_not_mapped_one_by_one(tmp_path):
    miniature.write_tiles(tmp_path / "in", np.ones((4, 100, 100), "float32"), 64, names=BANDS)
    with pytest.raises(InputError, match=r"4 tiles of one scene, town; make one .*overcast prepare .*town-\*\.tif"):
        find_scenes([str(tmp_path / "in")], BANDS)


def item(**changes: Any) -> dict[str, object]:
    """A STAC item without images."""
    return {"type": "Feature", "id": "town", "geometry": None, "properties": {}, "links": [], "assets": {}, **changes}


def asset(href: str, **more: Any) -> dict[str, object]:
    return {"href": href, "type": "image/tiff; application=geotiff", **more}


def test_stac_items_are_scenes_for_prepare(tmp_path):
    values = in_db(power()).astype("float32")
    for k in range(4):
        write(tmp_path / f"a {k}.tif", values[k : k + 1])
    assets = {f"{name}-g-lin": asset(f"./a%20{k}.tif") for k, name in enumerate(("hh", "hv", "vh", "vv"))}
    path = tmp_path / "item.json"
    properties = {"sat:orbit_state": "ascending", "sar:observation_direction": "right", "platform": "sentinel-1a"}
    assets["mask"] = asset("a%200.tif", roles=["data-mask"])
    path.write_text(json.dumps(item(assets=assets, properties=properties)))
    summary, names, found = prepared(
        tmp_path, path, aim=model(look=RadarSide.WEST), options=PrepareOptions(unit=Unit.DECIBEL, rotate=False)
    )
    assert names == BANDS
    np.testing.assert_array_equal(found, values)
    assert "item.json" in summary.plan.radar.source


def test_an_asset_can_be_named(tmp_path):
    assets = {"2024_GEC.tif": asset("gec.tif"), "2024_SICD.tif": asset("sicd.tif"), "2024_X.tif": asset("x.tif")}
    path = tmp_path / "item.json"
    path.write_text(json.dumps(item(assets=assets)))
    with pytest.raises(InputError, match=r"or the one that you name: item\.json@KEY"):
        list(stac_scenes(path, BANDS))
    for key in ("GEC", "2024_GEC.tif", "gec"):
        assert find_scenes([f"{path}@{key}"], BANDS)[0].files[0].name == "gec.tif"
    with pytest.raises(InputError, match=r"has no GeoTIFF assets called 'QQ'; choose of 2024_GEC.tif"):
        find_scenes([f"{path}@QQ"], BANDS)


def test_catalogs_in_catalogs_are_followed_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name} 1.json").write_text(
            json.dumps(
                item(
                    id=name,
                    assets={"x": asset(f"{name}.tif")},
                    properties={"datetime": None, "start_datetime": "2024-05-06T07:08:09Z"},
                )
            )
        )
    links = [{"rel": "item", "href": f"./{name}%201.json"} for name in ("a", "b")]
    links.append({"rel": "child", "href": "top.json"})
    (tmp_path / "c.json").write_text(json.dumps({"type": "Collection", "links": links}))
    top = {"type": "Catalog", "links": [{"rel": "child", "href": (tmp_path / "c.json").as_uri()}]}
    (tmp_path / "top.json").write_text(json.dumps(top))
    found = find_scenes([str(tmp_path / "top.json")], BANDS)
    assert [scene.name for scene in found] == ["a", "b"]
    assert found[0].acquired is not None
    assert found[0].acquired.isoformat() == "2024-05-06T07:08:09+00:00"


def test_everything_is_asked_at_once(tmp_path):
    path = write(tmp_path / "scene.tif", in_db(power()).astype("float32"))
    with pytest.raises(RadiometryError) as caught:
        prepared(tmp_path, path, aim=model(), options=PrepareOptions())
    for words in ("3 things have to be stated", "polarisation", "--unit", "--radar-side"):
        assert words in str(caught.value)


NAMES = [
    "wow!.tif",
    "a!b.zip/x.tif",
    "semi;colon.tif",
    "run #1.tif",
    "100%25 sure.tif",
    "Zu\u0308rich.tif",
    "東京.tif",
    "x" * 240 + ".tif",
]


@pytest.mark.parametrize("name", NAMES, ids=[name[:9] for name in NAMES])
def test_names_of_any_kind_are_read(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    values = in_db(power()).astype("float32")
    write(path, values, names=BANDS)
    options = PrepareOptions(unit=Unit.DECIBEL, radar_side=RadarSide.NORTH)
    _, _, found = prepared(tmp_path, path, options=options, aim=model())
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.SAFE/", "Sentinel-1 product is in radar geometry"),
        ("tiles/", "is a folder; map the images in it with overcast map"),
        ("x.zip", "is an archive; overcast prepare"),
        ("x.dim", "product of SNAP; overcast prepare"),
        ("x.h5", "holds data sets; overcast prepare"),
        ("x.json", "STAC record"),
        ("x.txt", "overcast map"),
        ("none.tif", "does not exist"),
    ],
)
def test_what_is_no_image_says_what_to_do(tmp_path, name, said):
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif not name.startswith("none"):
        path.write_bytes(b"x")
    with pytest.raises(OvercastError, match=said):
        scene_radiometry([path])
