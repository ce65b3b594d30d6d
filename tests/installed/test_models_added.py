"""Models of others: added whole, checked and agreed to, or not at all; published and fetched again."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hub_server import COMMIT, Answer, Stub, stub_server
from typer.testing import CliRunner

from overcast.bundle.bundle import load_bundle
from overcast.bundle.contract import INSTALLED
from overcast.choices import WeightStorage
from overcast.cli import app
from overcast.errors import BundleError, ConfigError, InputError
from overcast.installed import parts
from overcast.installed.adding import AddOptions, Offer, add_model, remove_model
from overcast.installed.folders import installed_models
from overcast.installed.hub import hub_address
from overcast.installed.parts import pack
from overcast.installed.sharing import pack_model
from overcast.reading.download import DownloadLimits, download

NAMES = ["README.md", "bundle.json", "model.safetensors", "origin.json", "stac.json"]
WEIGHTS = "model.safetensors"


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "own"
    monkeypatch.setenv("OVERCAST_MODELS", str(folder))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return folder


@pytest.fixture
def bundle(cmhcl_run: Path, tmp_path: Path) -> Path:
    """A small deployable bundle."""
    return shutil.copytree(cmhcl_run / "bundle", tmp_path / "roofs")


@pytest.fixture
def archive(bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "roofs.zip"
    pack(bundle, path)
    return path


@pytest.fixture
def server() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


def added(source: str | Path, **options: Any) -> Path:
    return add_model(str(source), AddOptions(**options), lambda _: True).folder


def refused(own: Path, source: str | Path, error: type[Exception], meant: str, **options: Any) -> None:
    """The sentence is said, and nothing is left."""
    with pytest.raises(error, match=meant):
        added(source, **options)
    assert not own.exists() or list(own.iterdir()) == []


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def zipped(path: Path, entries: dict[str, bytes], mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            file.writestr(entry, content)
    return path


def contents(bundle: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.iterdir()}


def edited(bundle: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    record = json.loads((bundle / "bundle.json").read_text())
    change(record)
    (bundle / "bundle.json").write_text(json.dumps(record))
    return bundle


class Evil:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.abort, ()


@pytest.mark.parametrize("kind", ["folder", "run", "archive", "archive with a folder"])
def test_a_model_is_added_from_this_machine(own: Path, bundle: Path, archive: Path, tmp_path: Path, kind: str) -> None:
    run = tmp_path / "roofs-run" / "bundle"
    shutil.copytree(bundle, run)
    nested = zipped(tmp_path / "nested.zip", {f"x/{name}": content for name, content in contents(bundle).items()})
    source = {"folder": bundle, "run": run.parent, "archive": archive, "archive with a folder": nested}[kind]
    offers: list[Offer] = []

    def agree(offer: Offer) -> bool:
        offers.append(offer)
        return True

    model = add_model(str(source), AddOptions(name="a"), agree)
    assert model.folder == own / "a"
    assert sorted(path.name for path in model.folder.iterdir()) == NAMES
    assert [path.name for path in own.iterdir()] == ["a"]
    load_bundle(model.folder)
    is_archive = source.is_file()
    assert offers[0].fetched.sha256 == digest(source if is_archive else bundle / WEIGHTS)
    assert offers[0].summary.licence == json.loads((model.folder / "origin.json").read_text())["licence_accepted"]


def test_card_and_item_are_made_where_they_lack(own: Path, bundle: Path) -> None:
    for name in ("README.md", "stac.json"):
        (bundle / name).unlink()
    assert "# building from SAR" in (added(bundle) / "README.md").read_text()
    assert (own / "roofs" / "stac.json").is_file()


def test_what_is_not_of_a_bundle_stays_behind(bundle: Path) -> None:
    (bundle / "run_me.py").write_text("raise SystemExit")
    (bundle / "weights.pkl").write_bytes(pickle.dumps(Evil()))
    assert sorted(path.name for path in added(bundle).iterdir()) == NAMES


def test_pickles_are_never_loaded(own: Path, bundle: Path, tmp_path: Path) -> None:
    torch.save({"state": torch.zeros(2)}, tmp_path / "model.pt")
    refused(own, tmp_path / "model.pt", BundleError, "bundle.json and model.safetensors missing; weights in pickles")
    (tmp_path / "evil.zip").write_bytes(pickle.dumps(Evil()))
    refused(own, tmp_path / "evil.zip", BundleError, "cannot be read as .zip.*pickles")
    (bundle / WEIGHTS).write_bytes(pickle.dumps(Evil()))
    refused(own, edited(bundle, lambda r: r.update(weights_sha256=digest(bundle / WEIGHTS))), BundleError, "damaged")


@pytest.mark.parametrize(
    "name", ["../bundle.json", "/etc/bundle.json", "a/../../bundle.json", "..\\bundle.json", "C:/bundle.json", "../x"]
)
def test_names_in_archives_lead_nowhere(own: Path, bundle: Path, tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "a.zip", contents(bundle) | {name: b"{}"})
    refused(own, path, BundleError, "leads out of the archive")
    assert not (tmp_path / "bundle.json").exists()


def test_links_are_not_followed(own: Path, bundle: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    link = zipped(tmp_path / "a.zip", {"README.md": str(secret).encode()}, stat.S_IFLNK | 0o777)
    refused(own, link, BundleError, "is a link or a device")
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to(secret)
    refused(own, bundle, BundleError, "is not a regular file")


def test_archives_are_bounded(own: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = zipped(tmp_path / "many.zip", contents(bundle) | {f"{number}.txt": b"" for number in range(100)})
    refused(own, many, BundleError, "holds 104 files")
    twice = zipped(tmp_path / "twice.zip", contents(bundle) | {"b/bundle.json": b"{}"})
    refused(own, twice, BundleError, "holds bundle.json twice")
    files = contents(bundle)
    apart = zipped(tmp_path / "apart.zip", {"a/bundle.json": files["bundle.json"], f"b/{WEIGHTS}": files[WEIGHTS]})
    refused(own, apart, BundleError, "in several folders")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bundle.json", b"{}")
        file.writestr(WEIGHTS, bytes(3_000_000))
    assert (tmp_path / "bomb.zip").stat().st_size < 10_000
    monkeypatch.setattr(parts, "LARGEST", {**parts.LARGEST, WEIGHTS: 2 * 2**20})
    refused(own, tmp_path / "bomb.zip", BundleError, "has more than 2 MB, too much for it")


@pytest.mark.parametrize("cut", [0, 10, 2000, -30])
def test_damaged_archives_are_told(own: Path, archive: Path, cut: int) -> None:
    archive.write_bytes(archive.read_bytes()[:cut])
    refused(own, archive, BundleError, "cannot be read as .zip")


def test_the_checks_of_bundles_hold(own: Path, bundle: Path) -> None:
    refused(own, edited(bundle, lambda r: r["network"].update(encoder="tu-hf_hub:a/b")), BundleError, "encoder")
    refused(
        own, edited(bundle, lambda r: r["network"].update(encoder="tu-test_resnet", sar_bands=9)), BundleError, "fit"
    )


def test_the_checksum_is_that_of_the_archive_or_of_the_weights(own: Path, bundle: Path, archive: Path) -> None:
    refused(own, archive, BundleError, f"the archive has {digest(archive)}", sha256="0" * 64)
    refused(own, bundle, BundleError, f"{WEIGHTS} has {digest(bundle / WEIGHTS)}", sha256=digest(archive))
    added(archive, sha256=digest(archive).upper(), name="a")
    added(bundle, sha256=digest(bundle / WEIGHTS), name="b")


def test_without_agreement_nothing_is_installed(own: Path, bundle: Path) -> None:
    with pytest.raises(ConfigError, match="its licence was not accepted"):
        add_model(str(bundle), AddOptions(), lambda _: False)
    assert list(own.iterdir()) == []
    runner = CliRunner()
    result = runner.invoke(app, ["models", "add", str(bundle)], input="y\n")
    assert "nobody can be asked here" in str(result.exception)
    assert "licence of the weights: CC0-1.0" in result.stderr
    assert list(own.iterdir()) == []
    result = runner.invoke(app, ["models", "add", str(bundle), "--accept-licence"])
    assert result.exit_code == 0, result.output
    assert f"sha256 of {WEIGHTS}: {digest(bundle / WEIGHTS)}" in result.stderr


def test_names_are_nobody_elses(own: Path, bundle: Path) -> None:
    refused(own, bundle, ConfigError, "is a model of Overcast itself", name=INSTALLED.name.upper())
    for name in ("../x", "a b", ".x", "full", ""):
        if name:
            refused(own, bundle, ConfigError, "cannot be called", name=name)
    added(bundle, name="town")
    for name in ("town", "TOWN"):
        with pytest.raises(ConfigError, match="a model is called town already"):
            added(bundle, name=name, replace=name == "TOWN")
    edited(bundle, lambda record: record.update(licence="MIT"))
    assert load_bundle(added(bundle, name="town", replace=True)).info.licence == "MIT"
    (own / "photos").mkdir()
    with pytest.raises(ConfigError, match="exists and is not a model"):
        added(bundle, name="photos", replace=True)
    assert sorted(path.name for path in own.iterdir()) == ["photos", "town"]


def test_a_failed_replacement_leaves_the_old_model(own: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added(bundle, name="town")
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if path.name == "town" and target == own / "town":
            raise OSError(39, "Directory not empty")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(ConfigError, match="added by somebody else meanwhile"):
        added(bundle, name="town", replace=True)
    load_bundle(own / "town")
    assert [path.name for path in own.iterdir()] == ["town"]


def test_only_what_a_user_added_is_removed(own: Path, bundle: Path, tmp_path: Path) -> None:
    added(bundle, name="town")
    (own / "linked").symlink_to(bundle)
    shutil.copytree(bundle, own / "run" / "bundle")
    with pytest.raises(BundleError, match="came with Overcast and stays"):
        remove_model(INSTALLED.name)
    for name in ("nothing", "../own"):
        with pytest.raises(BundleError, match=r"no installed model is called .*there are .*town"):
            remove_model(name)
    with pytest.raises(BundleError, match="is a run folder"):
        remove_model("run")
    assert CliRunner().invoke(app, ["models", "remove", "town"]).output == "removed town\n"
    remove_model("linked")
    assert [path.name for path in own.iterdir()] == ["run"]
    load_bundle(bundle)


def test_leftovers_of_a_killed_command_go_after_a_day(own: Path, bundle: Path) -> None:
    for name, age_s in ((".adding-old", 2 * 86400), (".adding-new", 60)):
        (own / name).mkdir(parents=True)
        os.utime(own / name, (time.time() - age_s,) * 2)
    added(bundle, name="a")
    assert sorted(path.name for path in own.iterdir()) == [".adding-new", "a"]
    assert [model.name for model in installed_models() if not model.packaged] == ["a"]


def test_lists_and_cards(own: Path, bundle: Path) -> None:
    runner = CliRunner()
    card = bundle / "README.md"
    card.write_text(card.read_text() + "\x1b]0;owned\x07 \x1b[2J\n")
    edited(bundle, lambda record: record.update(licence="MIT\x1b[31m\nand more"))
    added(bundle, name="town")
    (own / "broken").mkdir()
    (own / "broken" / "bundle.json").write_text("{")
    listed = runner.invoke(app, ["models"])
    assert "building from HH, HV in dB at 0.5 m; IoU" in listed.output
    assert "MIT?[31m and more; added by you" in listed.output
    assert "damaged: " in listed.stderr
    facts = {model["name"]: model for model in json.loads(runner.invoke(app, ["models", "--json"]).stdout)}
    assert facts["town"]["bands"] == ["HH", "HV"]
    assert facts["town"]["sha256"] == digest(own / "town" / WEIGHTS)
    assert facts[INSTALLED.name]["storage"] == "float16"
    shown = runner.invoke(app, ["models", "show", "town"])
    assert "# building from SAR: cmhcl" in shown.output
    assert '"source"' in shown.output
    assert "\x1b" not in listed.output + shown.output
    assert "Trained on simulated radar" in runner.invoke(app, ["models", "show", INSTALLED.name]).output
    assert "no installed model is called" in str(runner.invoke(app, ["models", "show", "nothing"]).exception)


def test_a_packed_model_is_half_the_size_and_loses_little(cmhcl_run: Path, tmp_path: Path) -> None:
    sizes, chips = {}, torch.randn(2, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    probabilities = {}
    for storage in WeightStorage:
        archive = tmp_path / f"{storage}.zip"
        result = CliRunner().invoke(
            app, ["models", "pack", str(cmhcl_run), "-o", str(archive), "--storage", storage.value]
        )
        assert result.exit_code == 0, result.output
        assert f"sha256 {digest(archive)}" in result.output
        loaded = load_bundle(added(archive, name=storage.value))
        assert loaded.info.storage is storage
        sizes[storage] = (loaded.path / WEIGHTS).stat().st_size
        with torch.inference_mode():
            probabilities[storage] = loaded.standardised_network(chips).sigmoid()
    assert sizes[WeightStorage.FLOAT16] < 0.57 * sizes[WeightStorage.FLOAT32]
    difference = (probabilities[WeightStorage.FLOAT16] - probabilities[WeightStorage.FLOAT32]).abs().max()
    assert 0 < difference < 0.005
    with pytest.raises(InputError, match="exists; name another file, or give --overwrite"):
        pack_model(str(cmhcl_run), archive, storage)
    first = archive.read_bytes()
    pack_model(str(cmhcl_run), archive, storage, overwrite=True)
    assert archive.read_bytes() == first
    with pytest.raises(InputError, match="does not end in"):
        pack_model(str(cmhcl_run), tmp_path / "a.tar", storage)


def test_a_model_comes_from_a_web_address(own: Path, archive: Path, server: Stub) -> None:
    server.answers = {
        "/models/town.zip": Answer(status=302, headers={"Location": "/elsewhere"}),
        "/elsewhere": Answer(archive.read_bytes()),
    }
    address = server.base.replace("//", "//user:hunter2@") + "/models/town.zip?key=hunter2"
    folder = added(address, sha256=digest(archive))
    assert folder == own / "town"
    assert "hunter2" not in (folder / "origin.json").read_text()
    assert "authorization" in server.asked[0][2]
    assert "authorization" not in server.asked[1][2]


@pytest.mark.parametrize("address", ["http://example.org/a.zip", "ftp://127.0.0.1/a.zip", "file:///a.zip", "https://"])
def test_other_addresses_are_not_asked(own: Path, address: str) -> None:
    refused(own, address, InputError, "is not an https:// address")


@pytest.mark.parametrize("place", ["http://192.0.2.1/a.zip", "ftp://127.0.0.1/a", "file:///etc/passwd"])
def test_redirects_stay_safe(own: Path, server: Stub, place: str) -> None:
    server.answers["/a.zip"] = Answer(status=302, headers={"Location": place})
    refused(own, f"{server.base}/a.zip", InputError, "cannot be fetched")
    assert len(server.asked) == 1


def test_answers_are_bounded_and_whole(own: Path, tmp_path: Path, server: Stub) -> None:
    limits, target = DownloadLimits(1000), tmp_path / "file"
    for name, answer, meant in (
        ("large", Answer(bytes(1001)), "more than the"),
        ("silent about its size", Answer(bytes(1001), said_bytes=-1), "more than the"),
        ("short", Answer(bytes(500), said_bytes=900), "broke off after 500 of 900|cannot be fetched"),
        ("missing", Answer(status=404), "404"),
    ):
        server.answers["/a"] = answer
        with pytest.raises(InputError, match=meant):
            download(f"{server.base}/a", target, limits)
        assert not target.exists(), name
    server.answers["/a"] = Answer(bytes(1000))
    with pytest.raises(InputError, match="took more than -1 s"):
        download(f"{server.base}/a", target, DownloadLimits(1000, whole_s=-1))
    told: list[tuple[float, float]] = []
    download(f"{server.base}/a", target, limits, progress=lambda done, total: told.append((done, total)))
    assert target.stat().st_size == 1000
    assert told[-1] == (1000, 1000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_download_leaves_nothing(own: Path, archive: Path, server: Stub, number: signal.Signals) -> None:
    server.answers["/a.zip"] = Answer(archive.read_bytes())

    def interrupt(_done: float, _total: float) -> None:
        signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt):
        add_model(f"{server.base}/a.zip", AddOptions(), lambda _: True, interrupt)
    assert list(own.iterdir()) == []


@pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # huggingface_hub 2.4 uploads as httpx2 deprecates
def test_a_model_goes_to_a_hub_and_comes_back(
    own: Path, bundle: Path, server: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setenv("HF_ENDPOINT", server.base)
    monkeypatch.setenv("HF_TOKEN", "hf_hunter2")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    runner = CliRunner()
    pushed = runner.invoke(app, ["models", "push", str(bundle), "hf:town/roofs"])
    assert pushed.exception is None, pushed.output
    assert pushed.stdout == f"{server.base}/town/roofs/commit/{COMMIT}\n"
    assert server.files == contents(bundle)
    front = yaml.safe_load(server.files["README.md"].split(b"---\n")[1])
    assert (front["license"], front["library_name"]) == ("cc0-1.0", "overcast")
    assert {"sar", "building"} <= set(front["tags"])
    assert front["model-index"][0]["results"]
    server.files["run_me.py"] = b"raise SystemExit"
    server.asked.clear()
    fetched = runner.invoke(app, ["models", "add", "hf:town/roofs@main", "--accept-licence"])
    assert fetched.exception is None, fetched.output
    assert f"commit {COMMIT}" in fetched.stderr
    assert json.loads((own / "roofs" / "origin.json").read_text())["commit"] == COMMIT
    assert {name: (own / "roofs" / name).read_bytes() for name in contents(bundle)} == contents(bundle)
    assert not [path for path in server.paths("GET") if "run_me" in path]
    carried = {path for _, path, headers in server.asked if "authorization" in headers}
    assert carried
    assert not [path for path in carried if path.startswith("/cdn/")]


def test_a_repository_that_is_no_bundle_is_refused(
    own: Path, server: Stub, monkeypatch: pytest.MonkeyPatch, bundle: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.base)
    refused(own, "hf:town/nothing", InputError, "the hub does not answer as asked")
    server.files = {"pytorch_model.bin": b"", "bundle.json": b"{}"}
    refused(own, "hf:town/roofs", BundleError, "model.safetensors missing")
    server.files = contents(bundle) | {"bundle.json": bytes(5 * 2**20)}
    refused(own, "hf:town/roofs", BundleError, "bundle.json has 5 MB, more than 4 MB")
    monkeypatch.setenv("HF_ENDPOINT", "http://example.org")
    refused(own, "hf:town/roofs", InputError, "not an https:// address")


@pytest.mark.parametrize(
    "text", ["hf:", "hf:town", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@../c", "hf:a/b?x", "hf:a b/c"]
)
def test_addresses_of_hubs_are_names(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a repository of a hub"):
        hub_address(text)


def test_without_the_library_the_hub_asks_for_it(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(own, "hf:town/roofs", ConfigError, r"pip install 'overcast\[hub\]'")


def test_a_hub_gets_no_file_from_outside_a_bundle(bundle: Path, server: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.base)
    (bundle / "README.md").unlink()
    (bundle / "README.md").symlink_to("/etc/hostname")
    result = CliRunner().invoke(app, ["models", "push", str(bundle), "hf:town/roofs"])
    assert "is not a regular file" in str(result.exception)
    assert server.asked == []


def test_listing_needs_no_pytorch_and_no_pystac() -> None:
    code = (
        "import sys\nfrom overcast.cli import app\n"
        "try:\n app(['models'])\nexcept SystemExit:\n print({'torch', 'pystac'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
    assert INSTALLED.name in done.stdout
