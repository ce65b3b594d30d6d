"""Where a model comes from that is to be installed: a folder, an archive, a web address, a hub."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from overcast.bundle.contract import RECORD, WEIGHTS, bundle_folder, bundle_name
from overcast.errors import BundleError, InputError
from overcast.installed.hub import PREFIX, HubAddress, hub_address, pull
from overcast.installed.parts import LARGEST_ARCHIVE, copy_folder, unpack
from overcast.reading import file_sha256
from overcast.reading.download import DownloadLimits, Progress, download, require_safe
from overcast.redact import redacted

Source = Path | HubAddress | str
"""A folder or archive on this machine, a repository of a hub, or the web address of an archive."""


@dataclass(frozen=True)
class Fetched:
    """What has come."""

    sha256: str
    """Checksum of the archive, or of the weights where there was no archive."""
    of: str
    """What that is the hash of."""
    commit: str | None = None
    """Commit of a hub's repository."""


def source_of(text: str) -> Source:
    """What a text names. Raises ConfigError or InputError where it names nothing that a model could come from."""
    if text.startswith(PREFIX):
        return hub_address(text)
    if "://" in text:
        require_safe(text)
        return text
    path = Path(text).expanduser()
    if not path.exists():
        raise InputError(f"{path} does not exist; name a bundle, its .zip archive, https://... or hf:OWNER/NAME.")
    return path


def default_name(source: Source) -> str:
    """What a model is called where the user does not say."""
    match source:
        case HubAddress():
            return source.name
        case Path():
            return bundle_name(source) if source.is_dir() else _stem(source.name)
        case _:
            return _stem(unquote(urlsplit(source).path).rpartition("/")[2])


def described(source: Source) -> str:
    """Where it lies, for people and records; without passwords and signatures."""
    return redacted(str(source if not isinstance(source, Path) else source.absolute()))


def fetch(source: Source, target: Path, progress: Progress | None = None) -> Fetched:
    """Write the files of a model into an empty folder, and nothing else.

    Raises BundleError or InputError where they are missing, too large, damaged, or cannot be had.
    """
    match source:
        case HubAddress():
            commit = pull(source, target, progress)
            return Fetched(file_sha256(target / WEIGHTS), WEIGHTS, commit)
        case Path():
            return _of_path(source, target)
        case _:
            archive = target.with_name(f"{target.name}.zip")
            try:
                download(source, archive, DownloadLimits(LARGEST_ARCHIVE), progress=progress)
                unpack(archive, target)
                return Fetched(file_sha256(archive), "the archive")
            finally:
                archive.unlink(missing_ok=True)


def _of_path(source: Path, target: Path) -> Fetched:
    if source.is_dir():
        copy_folder(bundle_folder(source), target)
        return Fetched(file_sha256(target / WEIGHTS), WEIGHTS)
    if source.name in {RECORD, WEIGHTS}:
        raise BundleError(f"{source} is a part of a model; name its folder.")
    if source.stat().st_size > LARGEST_ARCHIVE:
        raise BundleError(f"{source} has more than {LARGEST_ARCHIVE / 2**30:.1f} GB; no model is that large.")
    unpack(source, target)
    return Fetched(file_sha256(source), "the archive")


def _stem(name: str) -> str:
    return re.sub(r"\.zip$", "", name, flags=re.IGNORECASE)
