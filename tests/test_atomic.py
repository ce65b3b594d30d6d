"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from overcast.atomic import LEFTOVERS, replacing, write_atomic


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_text_and_bytes_are_written_and_folders_made(tmp_path):
    path = tmp_path / "a" / "b" / "notes.txt"
    write_atomic(path, "naïve\n")
    assert path.read_bytes() == "naïve\n".encode()
    write_atomic(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert names(path.parent) == ["notes.txt"]


def test_an_error_leaves_the_former_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("before")

    def fail() -> None:
        with replacing(path) as beside:
            beside.write_text("half")
            assert path.read_text() == "before"
            assert list(tmp_path.glob(LEFTOVERS)) == [beside]
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        fail()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["notes.txt"]


def test_a_full_disk_is_told_of_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / "notes.txt"

    def fill() -> None:
        with replacing(path) as beside:
            raise OSError(errno.ENOSPC, "No space left on device", str(beside))

    with pytest.raises(OSError, match="No space left") as caught:
        fill()
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    other = tmp_path / "missing.txt"
    with pytest.raises(FileNotFoundError) as about, replacing(path):
        other.read_text()
    assert about.value.filename == str(other)


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "ä" * 120 + ".csv", ".hidden"])
def test_names_as_long_as_a_file_system_takes(tmp_path, name):
    write_atomic(tmp_path / name, "here")
    assert (tmp_path / name).read_text() == "here"
    assert names(tmp_path) == [name]
