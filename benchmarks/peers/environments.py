"""A virtual environment for each peer, made from its requirements file where it is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FINISHED = ".installed"


def python_of(peer: str | None, environments: Path) -> Path:
    """The interpreter of a peer; None is a peer that runs in Overcast's own environment.

    Raises subprocess.CalledProcessError where pip cannot install the requirements.
    """
    if peer is None:
        return Path(sys.executable)
    folder = environments / peer
    python = folder / "bin" / "python"
    if not (folder / FINISHED).exists():
        print(f"installing {peer} into {folder} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        requirements = HERE / f"requirements-{peer}.txt"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", requirements], check=True)
        (folder / FINISHED).touch()
    return python
