"""Where installed models lie: those of the package and those that a user has added, each a folder with its name."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from overcast.bundle.contract import INSTALLED, RECORD, bundle_folder
from overcast.errors import BundleError, ConfigError
from overcast.reading import quoted, shortened

VARIABLE = "OVERCAST_MODELS"
"""Environment variable that names the folder of a user's models."""
PACKAGED = INSTALLED.parent
"""The folder of the models that come with Overcast."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OF_A_RUN = frozenset({"bundle", "full"})


@dataclass(frozen=True)
class InstalledModel:
    """A model that is called by its name."""

    name: str
    folder: Path
    """The bundle."""
    packaged: bool
    """True for a model that came with Overcast."""


def user_folder() -> Path:
    """Where this user's models lie: `OVERCAST_MODELS`, else `overcast/models` in the system's folder for data."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named).expanduser().absolute()
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  # Path.home raises where nobody knows it
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "overcast" / "models"
    if sys.platform == "darwin":
        return home / "Library/Application Support/overcast/models"
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    return (data if data.is_absolute() else home / ".local/share") / "overcast" / "models"


def installed_models() -> list[InstalledModel]:
    """Models of the package, then those of the user, each by name. A name of the package's is never another's."""
    found = [InstalledModel(path.name, path, packaged=True) for path in _bundles(PACKAGED)]
    taken = {model.name.casefold() for model in found}
    own = [InstalledModel(path.name, bundle_folder(path), packaged=False) for path in _bundles(user_folder())]
    return [*found, *(model for model in own if model.name.casefold() not in taken)]


def _bundles(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if is_name(path.name) and (bundle_folder(path) / RECORD).is_file()
        )
    except OSError:
        return []


def is_name(text: str) -> bool:
    """True for what a model may be called: letters, digits, points, dashes, underscores.

    >>> is_name("roofs-0.5m"), is_name("../roofs"), is_name("bundle")
    (True, False, False)
    """
    return _NAME.fullmatch(text) is not None and text not in _OF_A_RUN


def require_name(text: str) -> str:
    """The name. Raises ConfigError where a model cannot be called so."""
    if not is_name(text):
        raise ConfigError(
            f"a model cannot be called {quoted(text)}: take letters, digits, points, dashes and underscores, and "
            "neither bundle nor full (--name)."
        )
    return text


def find_installed(name: str) -> InstalledModel | None:
    """The installed model of a name; None where there is none."""
    return next((model for model in installed_models() if model.name == name), None)


def require_installed(name: str) -> InstalledModel:
    """The same. Raises BundleError, which names those that there are."""
    found = find_installed(name)
    if found is None:
        raise BundleError(f"no installed model is called {quoted(name)}; there are {_names()}.")
    return found


def model_folder(model: str | Path, *, full: bool = False) -> Path:
    """The bundle that is meant by the name of an installed model, or by the path of a bundle or run folder.

    Args:
        model: A text that is the name of an installed model means that model, even where a folder is called so too;
            `./NAME` means the folder.
        full: Of a run folder take every branch.

    Raises BundleError where there is neither.
    """
    found = find_installed(model) if isinstance(model, str) else None
    if found is not None:
        return found.folder
    path = Path(model).expanduser()
    if not path.exists():
        raise BundleError(f"{path} is neither a folder nor an installed model; installed are {_names()}.")
    return bundle_folder(path, full=full)


def start_folder(model: str) -> Path:
    """The bundle that training starts from: of an installed model, of a folder, or of a run with every branch."""
    found = find_installed(model)
    if found is not None:
        return found.folder
    path = Path(model).expanduser().absolute()
    return path / "full" if not (path / RECORD).is_file() and (path / "full" / RECORD).is_file() else path


def _names() -> str:
    return shortened(", ".join(model.name for model in installed_models()), 200)
