"""The run configuration, from YAML to a training plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator, model_validator

from overcast.arithmetic import AUTO, Precision, capabilities, settled_device, settled_precision
from overcast.config.data import DataOptions, build_data
from overcast.config.data_section import with_default
from overcast.config.network import AugmentationOptions, NetworkOptions, build_augmentation
from overcast.config.recipe import EvaluationSection, Recipe, with_recipe
from overcast.data.mix import scored, with_label_share
from overcast.data.targets import Targets
from overcast.installed.folders import find_installed, start_folder
from overcast.methods.options import CmhclOptions, MethodOptions
from overcast.models.spec import NetworkSpec
from overcast.section import Section
from overcast.settings import read_settings, to_yaml
from overcast.training.options import Accelerator, TrainingOptions

if TYPE_CHECKING:
    from rich.console import Console

    from overcast.training.plan import TrainingPlan, TrainResult


class StartOptions(Section):
    """The model that training starts from."""

    bundle: str = Field(min_length=1)
    """Bundle or run folder, or the name of an installed model. Its architecture must be that of `network`."""
    rate: float = Field(default=1.0, gt=0, le=1)
    """Factor of the learning rate for what is taken over."""

    @field_validator("bundle")
    @classmethod
    def _where_it_lies(cls, bundle: str) -> str:
        return bundle if find_installed(bundle) is not None else str(start_folder(bundle))


class RunConfig(Section):
    """Configuration of a training run. Any key can be set on the command line: --set training.steps=500."""

    data: DataOptions
    """The data set and its split."""
    recipe: Recipe = Recipe.PLAIN
    """`plain`, or `strong`: fills in targets, augmentation and evaluation where they are not set."""
    network: NetworkOptions = Field(default_factory=lambda: NetworkOptions.model_validate({}))
    """Architecture, the same for every method."""
    start: StartOptions | None = None
    """A model to start from; null: ImageNet weights where the network has them. `overcast train --from` sets it."""
    method: MethodOptions = CmhclOptions()
    """What is trained, with its own options: `cmhcl`; the controls `sar`, `sar_twin`, `optical`, `fusion`; or of the
    literature `modality_dropout`, `kd`, `cwd`, `hallucination`, `garcia`, `disoptnet`, `shaspec`, `mmanet`,
    `translation`; for few labels the controls `self_training` and `optical_init`; `one_stream` distils a
    finished model."""
    augmentation: AugmentationOptions = AugmentationOptions()
    """Augmentation of the training chips."""
    targets: Targets = Targets()
    """What is learnt beside the footprint, by every method."""
    evaluation: EvaluationSection = EvaluationSection()
    """How the trained model is looked at."""
    training: TrainingOptions = TrainingOptions()
    """Budget, batches, arithmetic and devices."""
    licence: str | None = None
    """Licence of the trained weights; null: that of the data set."""

    @model_validator(mode="before")
    @classmethod
    def _default_choices(cls, values: Any) -> Any:
        values = with_recipe(values)
        return with_default(with_default(values, "method", "name", "cmhcl"), "data", "name", "folder")

    def network_spec(self, sar_bands: int, optical_bands: int) -> NetworkSpec:
        """The architecture for given inputs."""
        return self.network.spec(sar_bands, optical_bands, self.targets)


def load_config(path: Path | None, sets: Sequence[str] = ()) -> RunConfig:
    """Read a YAML file (None: the defaults) and apply `key=value` overrides. Raises ConfigError naming the key."""
    return read_settings(RunConfig, path, sets)


def config_yaml(config: RunConfig) -> str:
    """The resolved configuration as commented YAML; `load_config` reads it back to an equal one."""
    return to_yaml(config)


def settled(config: RunConfig, output: Path | None = None) -> RunConfig:
    """The configuration with `training.precision: auto` settled: that of the run in `output`, else this machine's."""
    from overcast.training.folder import RunFolder

    training = config.training
    if training.precision is not Precision.AUTO:
        return config
    found, named = capabilities(), {Accelerator.CPU: "cpu", Accelerator.GPU: "cuda"}
    device = settled_device(named.get(training.accelerator, AUTO), found)
    kept = None if output is None else RunFolder(output).precision
    precision = kept or settled_precision(training.precision, device, found)
    return config.model_copy(update={"training": training.model_copy(update={"precision": precision})})


def build_plan(config: RunConfig, output: Path | None = None) -> TrainingPlan:
    """Everything that `overcast.training` needs. Opens the data set, trains nothing.

    Where a run lies in `output`, its arithmetic is kept, whatever this machine would choose.
    """
    from overcast.training.plan import TrainingPlan
    from overcast.training.start import Start

    config = settled(config, output)
    catalog, split = build_data(config.data)
    seed = config.training.seed if config.data.label_seed is None else config.data.label_seed
    catalog = with_label_share(catalog, split.train, config.data.label_share, seed)
    radiometry = catalog.radiometry
    optical_bands = len(radiometry.optical.bands) if radiometry.optical else 0
    return TrainingPlan(
        catalog=catalog,
        split=scored(split, catalog),
        method=config.method,
        network=config.network_spec(len(radiometry.sar.bands), optical_bands),
        options=config.training,
        augmentation=build_augmentation(config.augmentation, radiometry),
        licence=config.licence or catalog.licence,
        settings=config,
        settings_yaml=config_yaml(config),
        start=None if config.start is None else Start(start_folder(config.start.bundle), config.start.rate),
    )


def train(config: RunConfig, output: Path, *, resume: bool = True, console: Console | None = None) -> TrainResult:
    """Train into a run folder, or go on where a stopped run stands; see `overcast.training.run.train`."""
    from overcast.training.run import train as run

    return run(build_plan(config, output if resume else None), output, resume=resume, console=console)
