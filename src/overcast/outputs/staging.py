"""Outputs grow in a hidden folder beside their targets and are renamed together; the folder also keeps finished blocks.

A target that is a symbolic link stays one: the file that it leads to is written, and the hidden folder lies beside
that. See `scratch` for what is in the folder, `locks` for who may use it and `publication` for the renaming.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from overcast.errors import InputError
from overcast.outputs.locks import remove_stale, sole_writer
from overcast.outputs.publication import Folders, publish, recover, require_absent
from overcast.outputs.scratch import BLOCKS, OUT, PUBLISHING, Scratch
from overcast.outputs.writable import destination, scratch_path, writing


class Staging:
    """Where the outputs of one run grow."""

    def __init__(self, targets: Mapping[Path, Path], folders: Folders, *, overwrite: bool) -> None:
        """Use `staged`. `targets` maps each output as it was named to the file that is written."""
        self._targets, self._folders, self._overwrite = targets, folders, overwrite

    def path(self, target: Path) -> Path:
        """Where `target` is written until it is published; same file name."""
        return self._folders[self._targets[target].parent].path / OUT / target.name

    def scratch(self, name: str) -> Path:
        """A path for a temporary file, beside the first target."""
        first = next(iter(self._folders.values()))
        folder = first.path / OUT / "scratch"
        with writing(folder, first.title):
            folder.mkdir(exist_ok=True)
        return folder / name

    @property
    def blocks(self) -> Path:
        """Folder for what outlives a killed run."""
        folders = [scratch.path / BLOCKS for scratch in self._folders.values()]
        return next((folder for folder in folders if folder.is_dir()), folders[0])

    def publish(self) -> None:
        """Rename every output to its target, all or none. Raises InputError where that cannot be done."""
        first = next(iter(self._targets.values()))
        with writing(first):
            publish(
                {final: self.path(target) for target, final in self._targets.items()},
                self._folders,
                overwrite=self._overwrite,
            )


@contextmanager
def staged(targets: Sequence[Path], *, overwrite: bool = False) -> Iterator[Staging]:
    """Hidden folders beside `targets`; when the block ends, however it ends, finished blocks at most are left.

    Raises InputError where another run is at work on one of the outputs, where one has appeared that must not be
    replaced, or where something else lies in the place of a hidden folder.
    """
    finals = {target: destination(target) for target in targets}
    if len(set(finals.values())) < len(finals):
        raise InputError(f"two of the outputs {', '.join(map(str, targets))} are one file; name different ones.")
    with sole_writer(list(finals.values())), ExitStack() as stack:
        if not overwrite:
            for final in finals.values():
                require_absent(final)
        folders = _opened(finals.values(), stack)
        for scratch in folders.values():
            stack.callback(scratch.tidy)  # while the locks are still held
            scratch.remove(PUBLISHING)  # of other outputs, or damaged: `recover_publication` has been here
            scratch.make(OUT)
        yield Staging(finals, folders, overwrite=overwrite)


def unfinished(targets: Sequence[Path]) -> bool:
    """True where a run was killed while it wrote or renamed these outputs: what lies there may be taken back."""
    return any(map(os.path.lexists, _scratch_paths([destination(target) for target in targets]).values()))


def recover_publication(targets: Sequence[Path]) -> None:
    """Complete or take back the outputs of a run that was killed while it renamed them, and tidy up behind it."""
    finals = [destination(target) for target in targets]
    if not unfinished(targets):
        return
    with sole_writer(finals), ExitStack() as stack, writing(finals[0]):
        folders = _opened(finals, stack)
        recover(finals, folders)
        for scratch in folders.values():
            scratch.tidy()


def _opened(finals: Iterable[Path], stack: ExitStack) -> dict[Path, Scratch]:
    folders: dict[Path, Scratch] = {}
    for parent, path in _scratch_paths(finals).items():
        if path.exists():
            remove_stale(parent)
        folders[parent] = Scratch.create(path)
        stack.callback(folders[parent].close)
    return folders


def _scratch_paths(finals: Iterable[Path]) -> dict[Path, Path]:
    """The hidden folder in each folder that has targets, named after the first of them."""
    paths: dict[Path, Path] = {}
    for final in finals:
        paths.setdefault(final.parent, scratch_path(final))
    return paths
