"""Files of one chip found by their common name, and what is said where one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from overcast.data.naming import composed, nothing_shared, other_images, unpacked
from overcast.errors import InputError

LISTED_NAMES = 5
"""How many file names an error lists."""


def files_by_name(folder: Path, endings: AbstractSet[str]) -> dict[str, Path]:
    """Files of the given endings by composed stem. Raises InputError for a missing folder or two files of one stem."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; {_folder_hint(folder)}.")
    files: dict[str, Path] = {}
    for path in sorted(unpacked(folder, endings).iterdir()):
        if path.suffix.lower() not in endings or path.name.startswith("."):
            continue
        stem = composed(path)
        if stem in files:
            alike = " (the same letters, composed in two ways)" if files[stem].suffix == path.suffix else ""
            raise InputError(f"{folder} holds both {files[stem].name} and {path.name}{alike}; keep one of them.")
        files[stem] = path
    if not files and (others := other_images(folder, endings)):
        raise InputError(f"{folder} {others}.")
    if not files:
        raise InputError(f"{folder} holds no file ending in {', '.join(sorted(endings))}; put one per chip there.")
    return files


def _folder_hint(folder: Path) -> str:
    root = folder.parent
    subsets = sorted(path.name for path in root.iterdir() if (path / folder.name).is_dir()) if root.is_dir() else []
    if subsets:
        return f"choose one of the subsets {', '.join(subsets)}"
    return "correct the folder names in the description or the path"


def require_partners(base: Path, folders: Mapping[str, Mapping[str, Path]]) -> None:
    """Raise InputError where a name of one folder is missing in another."""
    if nothing := nothing_shared(folders):
        raise InputError(f"{base}: {nothing}.")
    _require_same(
        base, folders, "add them, remove their partners, or set incomplete: true where chips may lack something"
    )


def _require_same(base: Path, folders: Mapping[str, Mapping[str, Path]], hint: str) -> None:
    for name, files in folders.items():
        for other_name, other in folders.items():
            missing = sorted(set(files) - set(other))
            if missing:
                raise InputError(
                    f"{base / other_name} lacks {len(missing)} of the {len(files)} chips in {name} "
                    f"({_listed(missing)}); {hint}."
                )


def require_images(
    base: Path, sensors: Sequence[Mapping[str, Mapping[str, Path]]], folders: Mapping[str, Mapping[str, Path]]
) -> None:
    """Raise InputError where a chip has a part of a sensor's bands, or a mask without any image.

    Args:
        base: Folder that holds the sub-folders, for the error.
        sensors: Of each sensor the files by sub-folder and name.
        folders: The same for everything that a chip may have.
    """
    for sensor in sensors:
        _require_same(base, sensor, "add them or remove their partners")
    seen = {name for sensor in sensors for files in sensor.values() for name in files}
    for name, files in folders.items():
        if alone := sorted(set(files) - seen):
            raise InputError(
                f"{base / name} holds {len(alone)} files without an image of that name ({_listed(alone)}); "
                "give the files of one chip the same name, except for the ending."
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED_NAMES]) + (", ..." if len(names) > LISTED_NAMES else "")
