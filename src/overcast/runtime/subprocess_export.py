"""Exports of large networks are made by a process of their own: what exporters take, they do not give back."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import nn

from overcast.runtime.exports import exported, kept_export
from overcast.runtime.options import RuntimeUnavailableError, TileShape

SUBPROCESS_PARAMETERS = 1_000_000
"""Smaller networks are exported at once: their exporter takes less than the start of a process."""
_TASK, _RESULT = "task.pickle", "result.pickle"


def exported_in_subprocess(network: nn.Module, shape: TileShape, *, keep: bool) -> bytes:
    """Export in a process that ends afterwards, as the exporter and its libraries hold 0.3 GB until then.

    A network that cannot be sent there, or a process that cannot be started, is no error: the export is made here.
    Raises RuntimeUnavailableError where the network cannot be exported.
    """
    if keep and (found := kept_export(network, shape)) is not None:
        return found
    if sum(parameter.numel() for parameter in network.parameters()) < SUBPROCESS_PARAMETERS:
        return exported(network, shape, keep=keep)
    with tempfile.TemporaryDirectory(prefix="overcast-export-") as folder:
        try:
            (Path(folder) / _TASK).write_bytes(pickle.dumps((network, shape, keep)))
            subprocess.run([sys.executable, "-m", __name__, folder], check=True, capture_output=True)  # noqa: S603
            result = pickle.loads((Path(folder) / _RESULT).read_bytes())  # noqa: S301  # our own process wrote it
        except (pickle.PicklingError, AttributeError, TypeError, OSError, subprocess.CalledProcessError):
            return exported(network, shape, keep=keep)
    if isinstance(result, str):
        raise RuntimeUnavailableError(result)
    content: bytes = result
    return content


def _main(folder: Path) -> None:
    """In the other process: a file, or why there is none."""
    network, shape, keep = pickle.loads((folder / _TASK).read_bytes())  # noqa: S301  # our own process wrote it
    result: bytes | str
    try:
        result = exported(network, shape, keep=keep)
    except RuntimeUnavailableError as error:
        result = str(error)
    (folder / _RESULT).write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
