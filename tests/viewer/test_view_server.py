"""The server of the map: the page, its answers, who may ask, and attacks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_view_tiles import tile_at
from viewer_cases import Client, running, write_layers

from overcast.errors import ConfigError, InputError
from overcast.viewer.app import OneMap, create_app, page_files
from overcast.viewer.differences import compare
from overcast.viewer.mercator import Tile
from overcast.viewer.run import address_of, listen
from overcast.viewer.safety import Access, access
from overcast.viewer.scene_map import MapFiles, SceneMap

SETTINGS = {"map": "scene", "basemap": None, "work": False}
TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> SceneMap:
    return SceneMap("town", write_layers(tmp_path_factory.mktemp("layers")))


@pytest.fixture(scope="module")
def client(shown: SceneMap) -> Iterator[Client]:
    with running(create_app(OneMap(shown), Access(), SETTINGS)) as asked:
        yield asked


@pytest.fixture(scope="module")
def guarded(shown: SceneMap) -> Iterator[Client]:
    with running(create_app(OneMap(shown), Access("0.0.0.0", TOKEN), SETTINGS)) as asked:
        yield asked


def address(layer: str, tile: Tile) -> str:
    return f"/maps/scene/{layer}/{tile.z}/{tile.x}/{tile.y}"


def test_the_page_and_all_that_it_names_come_from_the_server(client: Client) -> None:
    page = client.ask("/").body.decode()
    named = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert len(named) >= 4
    for name in named:
        answer = client.ask(f"/{name}")
        assert answer.status == 200, name
        assert answer.headers["x-content-type-options"] == "nosniff"
    scripts = {name: content.decode() for name, content in page_files().items() if name.endswith(".js")}
    for name, text in scripts.items():
        for imported in re.findall(r'from "\./([^"]+)"', text):
            assert imported in page_files(), (name, imported)
    assert "<script>" not in page
    assert " style=" not in page
    assert "onclick" not in page


def test_the_licence_of_maplibre_is_in_the_package() -> None:
    assert b"Redistribution and use in source and binary forms" in page_files()["maplibre/LICENSE.txt"]


def test_the_map_describes_its_layers_and_names_no_folder(client: Client, shown: SceneMap) -> None:
    info = client.ask("/maps/scene").json()
    assert set(info["layers"]) == {"footprints", "reference", "scene", "optical", "probability"}
    assert info["crs"]["code"] == "EPSG:32631"
    assert info["layers"]["scene"] == {
        "file": "scene.tif", "bounds": info["layers"]["scene"]["bounds"], "bands": ["HH", "HV"], "unit": "dB",
    }  # fmt: skip
    assert info["layers"]["footprints"]["count"] == 36
    assert str(shown.shapes["footprints"].path.parent) not in str(info)


def test_tiles_have_their_media_types(client: Client) -> None:
    tile = tile_at(17)
    assert client.ask(address("pictures/scene", tile)).headers["content-type"] in {"image/png", "image/jpeg"}
    assert client.ask(address("pictures/scene", tile) + "?band=0").status == 200
    assert client.ask(address("pictures/optical", tile)).body[:2] in {b"\x89P", b"\xff\xd8"}
    assert client.ask(address("probability", tile)).body[:4] == b"\x89PNG"
    assert client.ask(address("shapes/footprints", tile)).headers["content-type"].endswith("vector-tile")
    assert client.ask(address("pictures/scene", Tile(3, 0, 0))).status == 204


def test_attributes_and_values_at_a_place(client: Client) -> None:
    assert client.ask("/maps/scene/shapes/footprints/3").json()["confidence"] == 0.52
    west, south, east, north = client.ask("/maps/scene").json()["bounds"]
    place = client.ask(f"/maps/scene/place?longitude={(west + east) / 2}&latitude={(south + north) / 2}").json()
    assert len(place["xy"]) == 2
    assert place["values"]["probability"][0] == pytest.approx(0.5, abs=0.1)
    assert len(place["values"]["scene"]) == 2


def test_the_comparison_comes_when_it_is_ready_and_tiles_then_carry_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overcast.viewer.scene_map.compare_in_subprocess", compare)  # a new process imports for seconds
    for _ in range(600):
        answer = client.ask("/maps/scene/comparison")
        if answer.status != 202:
            break
        time.sleep(0.1)
    curve = answer.json()["curve"]
    assert (len(curve), curve[0]["found"], curve[0]["missed"]) == (101, 18, 7)
    assert b"\x1a\x01m" in client.ask(address("shapes/footprints", tile_at(15))).body
    assert b"\x1a\x01f" in client.ask(address("shapes/reference", tile_at(15))).body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/../../etc/passwd", 404),
        ("/page/../../../pyproject.toml", 404),
        ("/page/..%2f..%2f..%2fsetup.py", 404),
        ("/page/%2e%2e/app.py", 404),
        ("/page//etc/passwd", 404),
        ("/page/maplibre/..%5c..%5capp.py", 404),
        ("/page/app.py", 404),
        ("/page/", 404),
        ("/page/index.html%00.js", 404),
        ("/maps/..%2f..%2fetc", 404),
        ("/maps/scene%00", 404),
        ("/maps/%2e%2e/shapes/footprints/1", 404),
        ("/maps/scene/shapes/sqlite_master/1", 404),
        ("/maps/scene/shapes/footprints%22;drop/1", 404),
        ("/maps/scene/shapes/footprints/1%20OR%201=1", 400),
        ("/maps/scene/shapes/footprints/99999999999999999999999", 422),
        ("/maps/scene/shapes/footprints/-1", 404),
        ("/maps/scene/shapes/footprints/400000/0/0", 422),
        ("/maps/scene/shapes/footprints/1/-1/0", 422),
        ("/maps/scene/pictures/vsicurl/1/0/0", 404),
        ("/maps/scene/pictures/scene/1/0/0?band=3", 404),
        ("/maps/scene/pictures/scene/1/0/0?band=-1", 400),
        ("/maps/scene/pictures/scene/1e400/0/0", 400),
        ("/maps/scene/place?longitude=nan&latitude=0", 400),
        ("/maps/scene/place?longitude=1e999&latitude=0", 400),
        ("/maps/scene/place?latitude=0", 400),
        ("/docs", 404),
        ("/?" + "a" * 9000, 414),
    ],
)
def test_hostile_addresses_are_refused_with_a_sentence(client: Client, path: str, status: int) -> None:
    answer = client.ask(path)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    detail = answer.json()["detail"]
    assert detail.endswith(".")
    assert "Traceback" not in detail
    assert "root:" not in answer.body.decode()
    assert client.ask("/maps/scene").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "[::1].evil.example"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:80"}, 200),
    ],
)
def test_other_names_for_this_machine_are_refused(client: Client, headers: dict[str, str], status: int) -> None:
    assert client.ask("/maps/scene", headers=headers).status == status


def test_methods_that_change_something_are_refused(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.ask("/maps/scene", method, b"{}").status == 405
        assert client.ask("/maps/scene", method, b"{}", {"Origin": "https://evil.example"}).status == 403
        assert client.ask("/maps/scene", method, b"{}", {"Sec-Fetch-Site": "cross-site"}).status == 403


def test_every_answer_carries_the_policy(client: Client) -> None:
    for path in ("/", "/maps/scene", "/nothing", "/page/app.js"):
        policy = client.ask(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
    assert "https://tiles.example" in access_policy("https://tiles.example/{z}/{x}/{y}.png")


def access_policy(basemap: str) -> str:
    from overcast.viewer.safety import page_policy

    return page_policy(access("127.0.0.1", None, basemap))


def test_without_the_token_nothing_is_told(guarded: Client) -> None:
    for path in (
        "/",
        "/settings.json",
        "/maps/scene",
        "/page/app.js",
        "/openapi.json",
        "/?token=wrong",
        "/maps/scene?token=" + TOKEN,
    ):
        answer = guarded.ask(path)
        assert answer.status == 401, path
        assert b"footprints" not in answer.body
    assert guarded.ask("/maps/scene", headers={"Authorization": "Bearer \xff"}).status == 401
    assert guarded.ask("/maps/scene", headers={"Cookie": "overcast_token=; ;=,\xff"}).status == 401


def test_the_token_opens_the_page_once_and_a_cookie_the_rest(guarded: Client) -> None:
    answer = guarded.ask(f"/?token={TOKEN}")
    assert (answer.status, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert guarded.ask("/", headers={"Cookie": cookie.partition(";")[0], "Host": "maps.example"}).status == 200
    assert guarded.ask("/maps/scene", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200


def test_other_addresses_always_get_a_token() -> None:
    assert access("127.0.0.1", None).token is None
    assert len(access("0.0.0.0", None).token or "") >= 32
    assert access("192.0.2.7", None).token != access("192.0.2.7", None).token
    with pytest.raises(ConfigError, match="16 or more"):
        access("0.0.0.0", "secret")
    with pytest.raises(ConfigError, match="--basemap"):
        access("127.0.0.1", None, "file:///etc/passwd")
    with pytest.raises(ConfigError, match="--basemap"):
        access("127.0.0.1", None, "https://a.example; script-src *")


def test_a_port_that_is_taken_is_named() -> None:
    bound = listen("127.0.0.1", 0)
    try:
        port = bound.getsockname()[1]
        assert address_of(bound, Access()) == f"http://127.0.0.1:{port}/"
        assert address_of(bound, Access("0.0.0.0", "x y")).endswith("/?token=x%20y")
        with pytest.raises(InputError, match="choose another --port"):
            listen("127.0.0.1", port)
    finally:
        bound.close()


def test_what_cannot_be_shown_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to show"):
        SceneMap("empty", MapFiles())
    (tmp_path / "no.gpkg").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match="is no GeoPackage inside"):
        SceneMap("broken", MapFiles(footprints=tmp_path / "no.gpkg"))
    with pytest.raises(InputError, match="does not exist"):
        SceneMap("missing", MapFiles(scene=tmp_path / "scene.tif"))
