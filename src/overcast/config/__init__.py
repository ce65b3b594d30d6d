"""Run configuration: YAML in, built parts out. The only place that builds parts from names."""

from overcast.config.data import FolderData, SpaceNet6Data, build_data
from overcast.config.distil import distil_config
from overcast.config.finished import FinishedRun, open_run
from overcast.config.run import RunConfig, build_plan, config_yaml, load_config, train

__all__ = [
    "FinishedRun",
    "FolderData",
    "RunConfig",
    "SpaceNet6Data",
    "build_data",
    "build_plan",
    "config_yaml",
    "distil_config",
    "load_config",
    "open_run",
    "train",
]
