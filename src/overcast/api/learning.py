"""From data to models: `simulate`, `train`, `evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from overcast.api.model import Model, load_model
from overcast.arithmetic import AUTO, capabilities, settled_device
from overcast.batch import InputModalities
from overcast.choices import SimulationPreset
from overcast.config import load_config
from overcast.config import train as train_run
from overcast.experiments.compare import Comparison, Request, compare_runs
from overcast.settings import read_settings
from overcast.simulator.dataset.folder import simulate_dataset
from overcast.simulator.options import SimulationOptions, preset


def simulate(output: str | Path, base: str = SimulationPreset.DEMO, settings: Sequence[str] = ()) -> Path:
    """Write a simulated city: optical and SAR images with exact footprints. The same settings give the same bytes.

    Args:
        output: Folder to write; new, empty, or one that an interrupted call began.
        base: Named settings to start from: `demo`, `spacenet6`, `gf3` or `sentinel1`.
        settings: Changes to these settings, such as `places=4` or `sar.looks=1`.

    Returns:
        The folder, a data set that `train` reads.

    Raises:
        ConfigError: A setting is unknown or impossible.
        InputError: The folder holds something else.

    Example:
        >>> simulate("data/city", settings=["places=4", "seed=1"])  # doctest: +SKIP
    """
    named = preset(SimulationPreset(base)).model_dump(mode="json")
    return simulate_dataset(Path(output), read_settings(SimulationOptions, None, settings, named))


def train(config: str | Path | None, output: str | Path, settings: Sequence[str] = (), *, resume: bool = True) -> Model:
    """Train a model, or resume a run that was stopped. A finished run is left as it is.

    Args:
        config: Configuration in YAML, as in `configs/`; None takes the defaults.
        output: Run folder.
        settings: Changes to the configuration, such as `data.root=data/town` or `method.name=cmhcl`.
        resume: False deletes an existing run and starts again from the beginning.

    Returns:
        The model of the best round, which works from SAR alone where its method does.

    Raises:
        ConfigError: A setting is wrong, or the folder belongs to another run.
        InputError: The data set cannot be used; the message names the file.
        LeakError: Training, validation and test share ground.

    Example:
        >>> train("configs/simulated.yaml", "runs/town", ["data.root=data/town"])  # doctest: +SKIP
    """
    path = None if config is None else Path(config)
    return load_model(train_run(load_config(path, settings), Path(output), resume=resume).folder)


def evaluate(
    runs: str | Path | Sequence[str | Path], output: str | Path, modalities: Sequence[str] | None = None
) -> Comparison:
    """Evaluate finished runs on their test chips and write one report.

    Args:
        runs: Run folders of one data set and split; the first leads the report.
        output: Folder for `report.html` and `results.csv`.
        modalities: What the models are given: `sar`, `optical`, `both`, `both-optical-zero`, `both-optical-mean`.
            None is SAR alone where a method works from it, otherwise all that it needs.

    Returns:
        The results of all runs and the files that were written.

    Raises:
        InputError: A run is not finished, or the runs do not share data set and split.
        ConfigError: No run can work from the modalities that it would be given.
    """
    folders = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    given = None if modalities is None else tuple(InputModalities(name) for name in modalities)
    return compare_runs(folders, Path(output), Request(available=given, device=settled_device(AUTO, capabilities())))
