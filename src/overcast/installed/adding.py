"""Models get into the user's folder whole and checked, or not at all; and out of it again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

from overcast.bundle.bundle import describe_bundle, load_bundle
from overcast.bundle.contract import CARD, ITEM, RECORD
from overcast.errors import BundleError, ConfigError
from overcast.installed.cards import ORIGIN
from overcast.installed.folders import (
    InstalledModel,
    installed_models,
    require_installed,
    require_name,
    user_folder,
)
from overcast.installed.sources import Fetched, default_name, described, fetch, source_of
from overcast.installed.summary import ModelSummary, read_summary
from overcast.outputs.writable import termination_as_interrupt
from overcast.reading import quoted
from overcast.reading.download import Progress

_BESIDE = ".adding-"
_LEFT_OVER_S = 24 * 3600.0
"""Age of unfinished work that nobody can be busy with any more."""


@dataclass(frozen=True)
class Offer:
    """A model that has come and been checked, before the user agrees to its licence."""

    summary: ModelSummary
    source: str
    fetched: Fetched


@dataclass(frozen=True)
class AddOptions:
    """How a model is added."""

    name: str | None = None
    """None: as its folder, archive or repository is called."""
    sha256: str | None = None
    """What the archive must hash to; of a folder or a repository its weights."""
    replace: bool = False
    """A model of the user's of the same name may go."""


def add_model(
    source: str, options: AddOptions, agree: Callable[[Offer], bool], progress: Progress | None = None
) -> InstalledModel:
    """Install a model for this user.

    Args:
        source: A bundle, a run folder, a .zip archive of a bundle, the https address of one, or `hf:OWNER/NAME`.
        options: Name, checksum, replacement.
        agree: Shown the model with its licence; False installs nothing.
        progress: Called with the progress of downloads.

    Raises:
        ConfigError: The name is taken or impossible, or the user did not agree.
        BundleError: It is no model, is damaged, too large, or not what the checksum says.
        InputError: It cannot be had.
    """
    place = source_of(source)
    name = require_name(options.name or default_name(place))
    target = user_folder() / name
    _require_free(name, replace=options.replace)
    with _beside(target) as folder:
        fetched = fetch(place, folder, progress)
        if options.sha256 is not None and fetched.sha256 != options.sha256.lower():
            raise BundleError(
                f"{described(place)} is not what --sha256 says: {fetched.of} has {fetched.sha256}; do not use it."
            )
        offer = Offer(_checked(name, folder), described(place), fetched)
        if not agree(offer):
            raise ConfigError(f"{name} was not installed, since its licence was not accepted.")
        _note_origin(folder, offer)
        _publish(folder, target, replace=options.replace)
    return InstalledModel(name, target, packaged=False)


def remove_model(name: str) -> None:
    """Remove a model of the user's. Raises BundleError for one that came with Overcast, or is not there."""
    model = require_installed(name)
    if model.packaged:
        raise BundleError(f"{name} came with Overcast and stays; only models that you added can be removed.")
    if model.folder.is_symlink():
        model.folder.unlink()
        return
    if model.folder.name != name:
        raise BundleError(f"{model.folder.parent} is a run folder, which was put there by hand; move it away by hand.")
    with _beside(model.folder) as folder:
        folder.rmdir()
        model.folder.rename(folder)


def _require_free(name: str, *, replace: bool) -> None:
    """Raise ConfigError where a model of that name is there, also if only small and capital letters differ."""
    for model in installed_models():
        if model.name.casefold() != name.casefold():
            continue
        if model.packaged:
            raise ConfigError(f"{model.name} is a model of Overcast itself; give yours another name (--name).")
        if model.name != name or not replace:
            raise ConfigError(f"a model is called {model.name} already; choose another --name, or --replace it.")
        return
    if (user_folder() / name).exists():
        raise ConfigError(f"{user_folder() / name} exists and is not a model; choose another --name.")


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A new folder called as the target on the same disk; it is gone afterwards, whatever happens."""
    home = target.parent
    home.mkdir(parents=True, exist_ok=True)
    for old in home.glob(f"{_BESIDE}*"):
        if time.time() - old.stat().st_mtime > _LEFT_OVER_S:
            shutil.rmtree(old, ignore_errors=True)
    beside = Path(mkdtemp(prefix=_BESIDE, dir=home))
    try:
        with termination_as_interrupt():
            (beside / target.name).mkdir()
            yield beside / target.name
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _checked(name: str, folder: Path) -> ModelSummary:
    """The summary of a bundle that has been loaded; a card and a STAC item that it lacks are written."""
    bundle = load_bundle(folder)
    if not all((folder / part).is_file() for part in (CARD, ITEM)):
        describe_bundle(folder, bundle.info)
    return read_summary(InstalledModel(name, folder, packaged=False))


def _note_origin(folder: Path, offer: Offer) -> None:
    facts = {
        "source": offer.source,
        "commit": offer.fetched.commit,
        "sha256": offer.fetched.sha256,
        "sha256_of": offer.fetched.of,
        "licence_accepted": offer.summary.licence,
        "added": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (folder / ORIGIN).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _publish(folder: Path, target: Path, *, replace: bool) -> None:
    """Rename the folder to its place; what was there goes, or comes back where that fails."""
    old = folder.with_name("replaced")
    if replace and (target / RECORD).is_file():
        target.rename(old)
    try:
        folder.rename(target)
    except OSError as error:
        if old.exists():
            old.rename(target)
        raise ConfigError(
            f"{quoted(target.name)} was added by somebody else meanwhile; choose another --name."
        ) from error
    except BaseException:
        if old.exists():
            old.rename(target)
        raise
