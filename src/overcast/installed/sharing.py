"""Models get to others: as one archive, or into a repository of a hub."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from overcast.atomic import replacing
from overcast.bundle.bundle import Bundle, describe_bundle, load_bundle, release_bundle
from overcast.bundle.contract import CARD, ITEM
from overcast.choices import WeightStorage
from overcast.errors import InputError
from overcast.installed.folders import model_folder
from overcast.installed.hub import HubAddress, push
from overcast.installed.parts import copy_folder, pack


def pack_model(model: str, archive: Path, storage: WeightStorage, *, overwrite: bool = False) -> Bundle:
    """Write the deployable bundle of a model into a .zip archive that `add_model` reads.

    Args:
        model: Name of an installed model, bundle or run folder.
        archive: File to write, beside it first.
        storage: Of the weights.
        overwrite: The file may exist.

    Returns the bundle that was packed. Raises BundleError for a damaged model or one with every branch, InputError
    where the file exists or is called otherwise than .zip.
    """
    if archive.suffix.lower() != ".zip":
        raise InputError(f"{archive.name} does not end in .zip; the archive is one; rename it.")
    if archive.exists() and not overwrite:
        raise InputError(f"{archive} exists; name another file, or give --overwrite.")
    with TemporaryDirectory(prefix="overcast-") as folder:
        released = Path(folder) / "bundle"
        release_bundle(model_folder(model), released, {}, storage)
        with replacing(archive) as beside:
            pack(released, beside)
        return load_bundle(released)


def push_model(model: str, address: HubAddress, message: str | None, *, private: bool) -> str:
    """Publish a model in a repository of a hub, with its card and its STAC item; returns the address of the commit.

    Raises BundleError for a damaged model, InputError where the hub refuses it, ConfigError where `huggingface_hub` is
    not installed.
    """
    with TemporaryDirectory(prefix="overcast-") as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        copy_folder(model_folder(model), folder)
        info = load_bundle(folder).info
        if not all((folder / part).is_file() for part in (CARD, ITEM)):
            describe_bundle(folder, info)
        return push(folder, address, message or f"{info.class_name} model {info.weights_sha256[:12]}", private=private)
