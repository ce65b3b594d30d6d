"""STAC records of every form: read, or refused in one sentence; no name of theirs leaves the folder of outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from overcast.errors import InputError
from overcast.fleet.scenes import find_scenes

ASSET = {"href": "a.tif", "type": "image/tiff", "roles": ["data"]}
ITEM = {"type": "Feature", "id": "one", "assets": {"data": ASSET}, "links": [], "properties": {"datetime": None}}
COLLECTION = {"type": "Collection", "links": [{"rel": "item", "href": "item.json"}]}

ODD: list[tuple[dict[str, Any], str]] = [
    (ITEM | {"assets": {"data": ASSET | {"href": 5}}}, r"assets.data.href: .* \(got 5\)"),
    (ITEM | {"assets": {"data": ASSET | {"href": None}}}, "assets.data.href"),
    (ITEM | {"assets": {"data": ASSET | {"href": ["a"]}}}, "assets.data.href"),
    (ITEM | {"assets": {"data": ASSET | {"href": "a\0b"}}}, "is no address or path"),
    (ITEM | {"assets": {"data": ASSET | {"href": "x" * 5000}}}, "at most 4096"),
    (ITEM | {"assets": {"data": ASSET | {"href": "x" * 2000}}}, "is no address or path"),
    (ITEM | {"assets": {"data": ASSET | {"roles": 5}}}, "assets.data.roles"),
    (ITEM | {"assets": {"data": ASSET | {"roles": [[1]]}}}, "assets.data.roles.0"),
    (ITEM | {"assets": {"data": 5}}, "assets.data"),
    (ITEM | {"assets": {"x" * 999: ASSET, "y": ASSET}}, "2 GeoTIFF assets"),
    (ITEM | {"assets": 5}, "it has no assets"),
    (ITEM | {"id": 5}, "id: "),
    (ITEM | {"id": ""}, "id: "),
    (ITEM | {"links": [1]}, "links.0"),
    (ITEM | {"links": [{"rel": "self", "href": 5}]}, "links.0.href"),
    (ITEM | {"links": [{"rel": "self", "href": "http://["}]}, "not a valid address"),
    (ITEM | {"properties": 5}, "properties"),
    (COLLECTION | {"links": [{"rel": "item", "href": "http://["}]}, "not a valid address"),
    ({"type": "FeatureCollection", "features": [1]}, "not a STAC item"),
    ({"type": "FeatureCollection", "features": {}}, "holds no item"),
    ({"type": "FeatureCollection", "features": -1}, "holds no item"),
    ({"type": "Collection", "links": [{"rel": "item", "href": {}}]}, "links.0.href"),
    ({"type": "Collection", "links": 5}, "links"),
    ({"type": "Collection"}, "holds no item"),
    ({"type": "x" * 5000}, "its type is 'xxx"),
    ({"type": ["Feature"]}, "its type is"),
]


@pytest.mark.parametrize(("record", "reason"), ODD)
def test_records_of_another_form_are_one_sentence(tmp_path: Path, record: dict[str, Any], reason: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=reason) as caught:
        find_scenes([str(path)], ("HH", "HV"))
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 300
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"links": None},
        {"properties": None},
        {"links": [{"rel": None}, {"href": "x"}]},
        {"assets": {"data": ASSET, "thumbnail": {"href": "b.tif", "roles": ["thumbnail"]}}},
        {"assets": {"data": {"href": "a.tif", "roles": None}}},
    ],
)
def test_what_may_be_missing_may_be_missing(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "item.json").write_text(json.dumps(ITEM | changes))
    (tmp_path / "collection.json").write_text(json.dumps(COLLECTION))
    for name in ("item.json", "collection.json"):
        (scene,) = find_scenes([str(tmp_path / name)], ("HH",))
        assert (scene.name, scene.files) == ("one", (tmp_path / "a.tif",))


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("../../evil", "_.._evil"),
        ("/etc/cron.d/x", "_etc_cron.d_x"),
        (".hidden", "hidden"),
        ("..", "item"),
        ("-rf", "rf"),
        ("a\0b\nc", "a_b_c"),
        ("é" * 300, "é" * 75),
    ],
)
def test_names_of_items_stay_in_the_folder_of_outputs(tmp_path: Path, identifier: str, name: str) -> None:
    (tmp_path / "item.json").write_text(json.dumps(ITEM | {"id": identifier}))
    (scene,) = find_scenes([str(tmp_path / "item.json")], ("HH",))
    assert scene.name == name


def test_lists_of_scenes_are_read_as_programs_write_them(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b'\xef\xbb\xbf"a b.tif"\r\n\r\n# no\r\n\'c.tif\'\t"d.tif"\r\n')
    first, second = find_scenes([str(path)], ("HH",))
    assert (first.files, second.files) == ((tmp_path / "a b.tif",), (tmp_path / "c.tif", tmp_path / "d.tif"))
    path.write_bytes("a.tif\n".encode("utf-16"))
    with pytest.raises(InputError, match="is text in UTF-16; save it as UTF-8"):
        find_scenes([str(path)], ("HH",))
