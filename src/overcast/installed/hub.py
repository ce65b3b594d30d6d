"""Models on the Hugging Face hub, or on a server that speaks its language: fetched and published."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from overcast.errors import BundleError, ConfigError, InputError
from overcast.installed.parts import LARGEST, NEEDED
from overcast.reading import first_line, quoted
from overcast.reading.download import DownloadLimits, Progress, download, require_safe

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PREFIX = "hf:"
DEFAULT_ENDPOINT = "https://huggingface.co"
WAIT_S = 30.0
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_ADDRESS = re.compile(rf"hf:(?P<repo>{_PART}/(?P<name>{_PART}))(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,99}}))?")


@dataclass(frozen=True)
class HubAddress:
    """A repository of a model."""

    repo: str
    """OWNER/NAME."""
    name: str
    revision: str | None
    """Branch, tag or commit; None: the newest."""

    def __str__(self) -> str:
        """The repository as users write it."""
        return f"{PREFIX}{self.repo}{'' if self.revision is None else '@' + self.revision}"


def hub_address(text: str) -> HubAddress:
    """The address in a text. Raises ConfigError where it is none.

    >>> hub_address("hf:town/roofs@v2").repo, hub_address("hf:town/roofs@v2").revision
    ('town/roofs', 'v2')
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or ".." in text:
        raise ConfigError(
            f"{quoted(text)} is not a repository of a hub; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION."
        )
    return HubAddress(found["repo"], found["name"], found["revision"])


def pull(address: HubAddress, target: Path, progress: Progress | None = None) -> str:
    """Write the files of a model's repository into an empty folder; returns the commit that they are of.

    Raises:
        BundleError: The repository holds no bundle, or a file that is too large.
        InputError: The hub cannot be reached, or does not give it.
        ConfigError: `huggingface_hub` is not installed.
    """
    api = _api()
    with _sentences(address):
        info = api.model_info(address.repo, revision=address.revision, files_metadata=True, timeout=WAIT_S)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    missing = [name for name in NEEDED if name not in sizes]
    if missing:
        raise BundleError(
            f"{address} is not a bundle of Overcast, {' and '.join(missing)} missing; name another repository."
        )
    commit = str(info.sha)
    for name in (name for name in LARGEST if name in sizes):
        if sizes[name] > LARGEST[name]:
            raise BundleError(
                f"{address}: {name} has {sizes[name] / 2**20:.0f} MB, more than {LARGEST[name] / 2**20:g} MB."
            )
        url, headers = _file(api, address.repo, name, commit)
        download(url, target / name, DownloadLimits(LARGEST[name], wait_s=WAIT_S), headers, progress)
    return commit


def push(folder: Path, address: HubAddress, message: str, *, private: bool) -> str:
    """Publish the files of a bundle folder in one commit, in a repository that is made where there is none.

    Returns the address of the commit. Raises InputError where the hub refuses it, ConfigError where `huggingface_hub`
    is not installed.
    """
    api = _api()

    from huggingface_hub import CommitOperationAdd

    files = [CommitOperationAdd(name, str(folder / name)) for name in LARGEST if (folder / name).is_file()]
    with _sentences(address):
        api.create_repo(address.repo, private=private, exist_ok=True)
        commit = api.create_commit(address.repo, files, commit_message=message, revision=address.revision)
    return str(commit.commit_url)


def _api() -> HfApi:
    """The hub that `HF_ENDPOINT` names, else Hugging Face's."""
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError(
            "models on a hub need huggingface_hub; install it with pip install 'overcast[hub]'."
        ) from None
    endpoint = os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT
    require_safe(endpoint)
    return HfApi(endpoint=endpoint.rstrip("/"))


def _file(api: HfApi, repo: str, name: str, commit: str) -> tuple[str, Mapping[str, str]]:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not listed in it

    return hf_hub_url(repo, name, revision=commit, endpoint=api.endpoint), build_hf_headers(library_name="overcast")


@contextmanager
def _sentences(address: HubAddress) -> Iterator[None]:
    """Make what `huggingface_hub` raises one sentence; its errors are those of another HTTP library in each version."""
    try:
        yield
    except Exception as error:
        raise InputError(
            f"{address}: the hub does not answer as asked ({first_line(error)}); check the name, the network, and that "
            "you are logged in (hf auth login, or HF_TOKEN)."
        ) from error
