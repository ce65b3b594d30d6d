"""A finished run distilled into one stream: the same data, split and budget, taught by the run's model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from overcast.config.finished import finished_folder
from overcast.config.run import RunConfig, load_config


def distil_config(run: Path, sets: Sequence[str] = ()) -> RunConfig:
    """The configuration that distils a finished run; `overcast.config.train` trains it.

    Args:
        run: Folder of the run.
        sets: `key=value` changes, for example `training.steps=5000`.

    Raises:
        InputError: The folder holds no finished run.
        ConfigError: A change is wrong.
    """
    folder = finished_folder(run)
    method = json.dumps({"name": "one_stream", "teacher": str(run.expanduser().absolute())})
    return load_config(folder.config, [f"method={method}", "start=null", "training.precision=auto", *sets])
