"""Splits on disk."""

import json
from pathlib import Path

import pytest
from where import FIXTURES

from overcast.choices import SpaceNet6Side
from overcast.data.catalogs.spacenet6 import tiles_from_csv
from overcast.data.splits.by_ground import Drop, Part, Split, spacenet6_split
from overcast.data.splits.file import read_split, write_split
from overcast.data.splits.leaks import describe_split
from overcast.errors import InputError

SPLIT = Split(("a", "b"), ("c",), ("d,e",), (Drop("too near", ("f",)), Drop("too odd", ("g",))), "By hand.")


def test_json_returns_the_whole_split(tmp_path: Path) -> None:
    path = tmp_path / "new" / "split.json"
    write_split(SPLIT, path)
    assert read_split(path) == SPLIT
    assert [file.name for file in path.parent.iterdir()] == ["split.json"]


def test_csv_returns_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"
    write_split(SPLIT, path)
    assert path.read_text().splitlines()[:2] == ["key,split", "a,train"]
    found = read_split(path)
    assert [found.keys(part) for part in Part] == [SPLIT.keys(part) for part in Part]
    assert found.dropped == (Drop("dropped in split.csv", ("f", "g")),)


def test_what_the_command_prints_is_a_split_file(tmp_path: Path) -> None:
    corners = tiles_from_csv(FIXTURES / "spacenet6_tiles.csv")
    split = spacenet6_split(corners, SpaceNet6Side.EAST)
    path = tmp_path / "east.json"
    path.write_text(json.dumps(describe_split(split, corners)))
    assert read_split(path) == split


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "split.csv"
    write_split(SPLIT, path)
    before = path.read_bytes()

    def full(self: Path, *_: object, **__: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OSError, match="No space left"):
        write_split(Split(("z",), (), ()), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "chip,part\na,train\n", "lacks the columns key,split"),
        ("s.csv", "key,split\na,practice\n", "line 2 is not a key and one of train, validation, test, dropped"),
        ("s.csv", "key,split\na,train\na,test\n", "chip a is in two parts"),
        ("s.json", "{", "is not readable JSON"),
        ("s.json", "[1]", "s.json is damaged"),
        ("s.json", '{"keys": {"train": "abc"}}', "s.json is damaged"),
        ("s.json", '{"keys": {"train": ["a", "a"]}}', "chip a is in two parts"),
        ("s.txt", "a", "neither .json nor .csv"),
    ],
)
def test_a_wrong_split_file_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_split(tmp_path / name)


def test_a_split_is_written_as_json_or_csv_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither .json nor .csv"):
        write_split(SPLIT, tmp_path / "split.yaml")
