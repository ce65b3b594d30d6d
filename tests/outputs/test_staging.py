"""Scratch folders, locks and the moment when outputs appear: attacks, accidents, kills at every step."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from overcast.errors import InputError
from overcast.outputs import locks
from overcast.outputs.locks import lock_path
from overcast.outputs.staging import Staging, recover_publication, staged
from overcast.outputs.writable import (
    raise_if_interrupted,
    require_writable,
    scratch_path,
    termination_as_interrupt,
    writing,
)
from overcast.processes import try_lock

posix = pytest.mark.skipif(sys.platform == "win32", reason="symbolic links, flock")
NAMES = ("p.tif", "f.gpkg", "f.qml")


def targets(folder: Path) -> list[Path]:
    return [folder / name for name in NAMES]


def grow(staging: Staging, wanted: list[Path], text: str = "new") -> None:
    for target in wanted:
        staging.path(target).write_text(text)


def publish(wanted: list[Path], text: str = "new", *, overwrite: bool = False) -> None:
    with staged(wanted, overwrite=overwrite) as staging:
        grow(staging, wanted, text)
        staging.publish()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


NEW = dict.fromkeys(NAMES, "new")


def test_outputs_appear_together_and_leave_nothing_hidden(tmp_path: Path):
    publish(targets(tmp_path))
    assert texts(tmp_path) == NEW
    assert names(tmp_path) == sorted(NAMES)


# -- what lies in a scratch folder is not believed ---------------------------------------------------------------------


def mark_of(path: Path, name: str) -> list[object]:
    status = path.stat()
    return [name, status.st_size, status.st_mtime_ns]


@pytest.mark.parametrize("named", ["{path}", "../thesis.tex", "thesis.tex", "home/../thesis.tex"])
def test_publication_cannot_name_files_of_others(tmp_path: Path, named: str):
    """A mark with a file that exists and one that does not takes back the first, if it may."""
    maps = tmp_path / "maps"
    maps.mkdir()
    for folder in (tmp_path, maps):
        (folder / "thesis.tex").write_text("precious")
    name = named.format(path=tmp_path / "thesis.tex")
    work = scratch_path(maps / "o.gpkg")
    work.mkdir()
    for second in (["o.gpkg", 1, 1], [str(tmp_path / "none"), 1, 1]):
        marks = [mark_of(maps / "thesis.tex", name), second]
        (work / "publishing").write_text(json.dumps(marks))
        recover_publication([maps / "o.gpkg"])
        publish([maps / "o.gpkg"], overwrite=True)
        work.mkdir()
    assert (tmp_path / "thesis.tex").read_text() == (maps / "thesis.tex").read_text() == "precious"


DAMAGED = ["", "{", "[]", "{}", "null", "5", '"p.tif"', "[1, 2]", "[[]]", "[null]", "[[[], 1, 2]]", '[["p.tif"]]']
DAMAGED += [
    '[["p.tif", "a", {}], ["f.gpkg", 1, 2], ["f.qml", 1, 2]]',
    '[["p.tif\\u0000", 1, 2]]',
    "[" * 60_000,
    "\0" * 99,
]


@pytest.mark.parametrize("content", [*(text.encode() for text in DAMAGED), b"\xff\xfe\x00", b"9" * 70_000])
def test_damaged_mark_is_ignored(tmp_path: Path, content: bytes):
    work = scratch_path(tmp_path / "p.tif")
    work.mkdir()
    (work / "publishing").write_bytes(content)
    (tmp_path / "f.qml").write_text("mine")
    recover_publication(targets(tmp_path))
    assert (tmp_path / "f.qml").read_text() == "mine"
    publish(targets(tmp_path), overwrite=True)
    assert names(tmp_path) == sorted(NAMES)


def behind(folder: Path) -> Path:
    """A folder of the user's with what a run would write or delete in it, and a file."""
    home = folder / "home"
    for part in ("out", "blocks", "former"):
        (home / part).mkdir(parents=True)
        (home / part / "row-000000.block").write_text("precious")
    (home / "file").write_text("precious")
    return home


def contents(folder: Path) -> dict[str, object]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


@posix
@pytest.mark.parametrize("part", ["", "out", "blocks", "former", "publishing", "publishing.new"])
@pytest.mark.parametrize("to", ["", "file", "none"])
def test_links_in_the_place_of_unfinished_work_are_refused(tmp_path: Path, part: str, to: str):
    home = behind(tmp_path)
    before = contents(home)
    maps = tmp_path / "maps"
    maps.mkdir()
    work = scratch_path(maps / "p.tif")
    if part:
        work.mkdir()
    (work / part).symlink_to(home / to)
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"is a symbolic link, but unfinished work on p\.tif belongs there; remove"
        ):
            publish(targets(maps), overwrite=True)
    assert contents(home) == before
    assert names(maps) == [".p.tif.partial"]


@posix
@pytest.mark.parametrize("to", ["file", "none", "out"])
def test_lock_that_is_a_link_is_refused(tmp_path: Path, to: str):
    home = behind(tmp_path)
    before = contents(home)
    lock_path(tmp_path / "f.gpkg").symlink_to(home / to)
    with pytest.raises(InputError, match=r"\.~f\.gpkg\.lock is a symbolic link"):
        publish(targets(tmp_path))
    assert contents(home) == before


@posix
def test_lock_that_becomes_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between the look at it and its opening."""
    lock_path(tmp_path / "f.gpkg").symlink_to(tmp_path / "none")
    monkeypatch.setattr(stat, "S_ISREG", lambda _mode: True)
    with pytest.raises(InputError, match="symbolic link"):
        publish(targets(tmp_path))
    assert not (tmp_path / "none").exists()


@posix
def test_folder_that_is_exchanged_for_a_link_does_not_lead_deletion_elsewhere(tmp_path: Path):
    home = behind(tmp_path)
    before, work = contents(home), scratch_path(tmp_path / "p.tif")

    def exchange() -> None:
        with staged(targets(tmp_path)):
            work.rename(tmp_path / "aside")
            work.symlink_to(home)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exchange()
    assert contents(home) == before


def folder_at(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.mkdir()


def file_at(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")


@pytest.mark.parametrize(
    ("part", "make"),
    [
        (".~f.gpkg.lock", folder_at),
        (".p.tif.partial", file_at),
        (".p.tif.partial/publishing", folder_at),
        (".p.tif.partial/out", file_at),
        (".p.tif.partial/blocks", file_at),
    ],
)
def test_parts_of_the_wrong_kind_are_told(tmp_path: Path, part: str, make: Callable[[Path], None]):
    make(tmp_path / part)
    with pytest.raises(InputError, match=rf"{Path(part).name} is of the wrong kind, .*; remove it"):
        publish(targets(tmp_path))
    assert (tmp_path / part).exists()
    assert not [name for name in names(tmp_path) if not name.startswith(".")]


def test_scratch_folder_that_disappears_is_told(tmp_path: Path):
    def disappear() -> None:
        with staged(targets(tmp_path)) as staging:
            grow(staging, targets(tmp_path))
            scratch_path(tmp_path / "p.tif").rename(tmp_path / "gone")
            staging.publish()

    with pytest.raises(InputError, match=r"p\.tif cannot be written .*; its folder was removed meanwhile"):
        disappear()
    assert names(tmp_path) == ["gone"]


# -- locks -------------------------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(
    "other", [["f.gpkg"], ["f.qml", "x.geojson"], ["a.tif", "p.tif"], ["f.qml", "f.gpkg", "p.tif"]]
)
def test_runs_that_share_an_output_see_each_other(tmp_path: Path, other: list[str]):
    second = [tmp_path / name for name in other]
    with staged(targets(tmp_path)) as staging:
        with pytest.raises(InputError, match=r"^another run is at work on (p\.tif|f\.gpkg|f\.qml); wait for it"):
            publish(second, "other")
        grow(staging, targets(tmp_path))
        staging.publish()
    assert texts(tmp_path) == NEW
    publish(second, "other", overwrite=True)
    assert names(tmp_path) == sorted({*NAMES, *other})


@posix
def test_runs_through_a_link_see_each_other(tmp_path: Path):
    (tmp_path / "link.gpkg").symlink_to(tmp_path / "f.gpkg")
    with staged(targets(tmp_path)), pytest.raises(InputError, match=r"another run is at work on f\.gpkg"):
        publish([tmp_path / "link.gpkg"])


@posix
def test_lock_file_that_was_removed_before_it_was_locked_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls: list[int] = []

    def slow(handle: int) -> bool:
        calls.append(handle)
        if len(calls) == 1:
            lock_path(tmp_path / "f.gpkg").unlink()  # as its holder does at the end
        return try_lock(handle)

    monkeypatch.setattr(locks, "try_lock", slow)
    with staged([tmp_path / "f.gpkg"]), pytest.raises(InputError, match="another run"):
        publish([tmp_path / "f.gpkg"])
    assert len(calls) == 3
    assert names(tmp_path) == []


def test_lock_file_of_a_killed_run_holds_nobody_up(tmp_path: Path):
    for name in ("f.gpkg", "other.gpkg"):
        lock_path(tmp_path / name).touch()
    lock_path(tmp_path / "mine.txt").write_text("not empty")
    scratch_path(tmp_path / "p.tif").mkdir()
    with staged([tmp_path / "held.tif"]):
        publish(targets(tmp_path))
        assert lock_path(tmp_path / "held.tif").exists()
    assert names(tmp_path) == sorted([*NAMES, ".~mine.txt.lock"])


# -- the moment of publication -----------------------------------------------------------------------------------------


def no_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.fixture(params=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems with and without hard links."""
    if request.param == "no links":
        monkeypatch.setattr(os, "link", no_links)


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("name", NAMES)
def test_output_that_appears_meanwhile_is_kept(tmp_path: Path, name: str):
    def run() -> None:
        with staged(targets(tmp_path)) as staging:
            grow(staging, targets(tmp_path))
            (tmp_path / name).write_text("theirs")
            staging.publish()

    with pytest.raises(InputError, match=rf"{name} exists; name another file, or allow overwriting"):
        run()
    assert texts(tmp_path) == {name: "theirs"}
    assert names(tmp_path) == [name]


def test_output_that_appeared_before_the_locks_were_held_is_noticed_at_once(tmp_path: Path):
    (tmp_path / "f.qml").write_text("theirs")
    with pytest.raises(InputError, match=r"f\.qml exists"), staged(targets(tmp_path)):
        pytest.fail("the work must not begin")


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("blocked", NAMES)
@pytest.mark.parametrize("standing", [NAMES, NAMES[1:], ()])
def test_former_files_come_back_when_an_output_cannot_be_renamed(
    tmp_path: Path, blocked: str, standing: tuple[str, ...]
):
    former = {name: "former" for name in standing if name != blocked}
    for name in former:
        (tmp_path / name).write_text("former")

    def run() -> None:
        with staged(targets(tmp_path), overwrite=True) as staging:
            grow(staging, targets(tmp_path))
            (tmp_path / blocked).mkdir()
            staging.publish()

    with pytest.raises(InputError, match=r"cannot be written \(Is a directory\); a folder has taken its place"):
        run()
    assert texts(tmp_path) == former
    assert names(tmp_path) == sorted({*former, blocked})


@posix
def test_link_stays_and_the_file_behind_it_is_written(tmp_path: Path):
    away = tmp_path / "away"
    away.mkdir()
    (away / "old.gpkg").write_text("former")
    wanted = targets(tmp_path)
    wanted[1].symlink_to(away / "old.gpkg")
    wanted[0].symlink_to("away/new.tif")  # leads to nothing so far
    with pytest.raises(InputError, match=r"f\.gpkg exists"):
        require_writable(wanted[1], overwrite=False)
    publish(wanted, overwrite=True)
    assert texts(away) == {"old.gpkg": "new", "new.tif": "new"}
    assert wanted[0].is_symlink()
    assert wanted[1].is_symlink()
    assert (names(tmp_path), names(away)) == (sorted([*NAMES, "away"]), ["new.tif", "old.gpkg"])


@posix
def test_links_in_a_circle_and_two_names_of_one_file_are_refused(tmp_path: Path):
    (tmp_path / "f.gpkg").symlink_to(tmp_path / "f.gpkg")
    with pytest.raises(InputError, match=r"f\.gpkg is a symbolic link that leads nowhere"):
        require_writable(tmp_path / "f.gpkg", overwrite=True)
    (tmp_path / "f.qml").symlink_to(tmp_path / "p.tif")
    with pytest.raises(InputError, match="are one file"):
        publish([tmp_path / "p.tif", tmp_path / "f.qml"])


KILLS = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_staging import NAMES, names, publish, texts
from overcast.outputs.staging import recover_publication, staged

EVENTS = {"os.link", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "open", "os.truncate"}

def killed(wanted, overwrite, step):
    # Publish in a process that ends at its step-th change of the file system; False where it came to its end.
    child = os.fork()
    if child == 0:
        count = 0
        def hook(event, arguments):
            nonlocal count
            if event in EVENTS:
                count += 1
                if count > step:
                    os._exit(9)
        sys.addaudithook(hook)
        publish(wanted, overwrite=overwrite)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0

def visible(folder):
    return {name: text for name, text in texts(folder).items() if name[0] != "."}

root, found, number = Path(sys.argv[2]), [], 0
new = dict.fromkeys(NAMES, "new")
for overwrite in (False, True):
    for second in ("", "b"):
        step, states = 0, []
        while True:
            number += 1
            folder = root / str(number)
            (folder / "b").mkdir(parents=True)
            wanted = [folder / second / name if name[0] == "f" else folder / name for name in NAMES]
            for path in wanted if overwrite else ():
                path.write_text("former")
            before = {path.name: "former" for path in wanted} if overwrite else {}
            if not killed(wanted, overwrite, step):
                break
            recover_publication(wanted)
            state = {**visible(folder), **visible(folder / "b")}
            states.append("all" if state == new else "none" if state == before else repr((step, state)))
            publish(wanted, overwrite=True)
            left = [name for name in (*names(folder), *names(folder / "b")) if name[0] == "."]
            if left or {**visible(folder), **visible(folder / "b")} != new:
                states.append(repr((step, left)))
            step += 1
        found.append([overwrite, second, step, states])
print(json.dumps(found))
"""


@posix
def test_kill_at_any_step_leaves_all_or_nothing(tmp_path: Path):
    """Every change of the file system is once the last; outputs in one folder and in two."""
    command = [sys.executable, "-c", KILLS, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for overwrite, folder, steps, states in json.loads(done.stdout):
        assert set(states) == {"all", "none"}, (overwrite, folder, states)
        assert states == sorted(states, reverse=True)  # from one step on all of them are there
        assert steps > 20


# -- what is said, and when --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, r"GB are free on its disk\); free some space, or write elsewhere\.$"),
        (errno.EDQUOT, r"GB are free on its disk\); free some space, or write elsewhere\.$"),
        (errno.EACCES, r"\(Permission denied\); change its permissions, or write elsewhere\.$"),
        (errno.ELOOP, r"; a symbolic link lies where"),
        (errno.ENAMETOOLONG, r"; choose a shorter name\.$"),
        (errno.EIO, r"\(Input/output error\); write elsewhere\.$"),
    ],
)
def test_advice_fits_the_error(tmp_path: Path, number: int, advice: str):
    with pytest.raises(InputError, match=rf"^o\.gpkg cannot be written .*{advice}"), writing(tmp_path / "o.gpkg"):
        raise OSError(number, os.strerror(number))


def test_error_without_a_number_advises_space_only_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for free, advice in ((10**12, r"\(layer \[1\]\); write elsewhere"), (1000, "free some space")):
        monkeypatch.setattr(shutil, "disk_usage", lambda _path, free=free: type("Usage", (), {"free": free})())
        with pytest.raises(InputError, match=advice), writing(tmp_path / "gone" / "o.gpkg"):
            raise OSError("layer\n[1].")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_that_a_library_makes_an_error_of_stays_one(tmp_path: Path, number: signal.Signals):
    def library() -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raise OSError("Error while accessing batch from stream") from None

    with termination_as_interrupt(), pytest.raises(KeyboardInterrupt), writing(tmp_path / "o.gpkg"):
        library()
    with termination_as_interrupt():
        with pytest.raises(OSError, match="batch"):
            library()
        with pytest.raises(KeyboardInterrupt):
            raise_if_interrupted()
    raise_if_interrupted()  # forgotten with the end of the run


@posix
def test_names_that_cannot_be_written_are_refused_first(tmp_path: Path):
    longest = tmp_path / f"{'x' * 241}.gpkg"
    require_writable(longest, overwrite=False)
    publish([longest])
    for length in (247, 250, 255, 300):
        target = tmp_path / f"{'ü' * 100}{'x' * (length - 205)}.gpkg"
        with pytest.raises(InputError, match=rf"is {length - 246} bytes too long .*; choose a shorter name\.$"):
            require_writable(target, overwrite=True)
    for name in (b"\xff.gpkg", b"caf\xe9/o.gpkg"):
        target = tmp_path / os.fsdecode(name)
        target.parent.mkdir(exist_ok=True)
        with pytest.raises(InputError, match=r"\\x.*has a name that is not UTF-8; rename it\.$") as caught:
            require_writable(target, overwrite=True)
        assert str(caught.value).isascii()
    os.mkfifo(tmp_path / "pipe.gpkg")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        require_writable(tmp_path / "pipe.gpkg", overwrite=True)
