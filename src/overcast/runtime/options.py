"""What a network runs on, and how it computes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from overcast.arithmetic import Precision
from overcast.errors import ConfigError, OvercastError


class Runtime(StrEnum):
    """What runs the network."""

    AUTO = "auto"
    """The fastest that works on the device; resolved before anything is computed."""
    EAGER = "eager"
    """PyTorch, operation by operation."""
    COMPILED = "compiled"
    """torch.compile, on a GPU with CUDA graphs; needs a C++ compiler on a CPU."""
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"


@dataclass(frozen=True)
class TileShape:
    """Shape of what the network gets at once: (batch, bands, height, width)."""

    batch: int
    bands: int
    height: int
    width: int

    @property
    def single(self) -> tuple[int, int, int, int]:
        """Shape of one tile: (1, bands, height, width)."""
        return (1, self.bands, self.height, self.width)


@dataclass(frozen=True)
class RuntimeOptions:
    """What to run a network on."""

    runtime: Runtime = Runtime.EAGER
    precision: Precision = Precision.FP32
    device: str = "cpu"
    keep_exports: bool = True
    """Keep exported networks in the user's cache folder, so that the next run finds them."""

    def __post_init__(self) -> None:
        if self.precision is Precision.AUTO:
            raise ValueError("precision auto has to be settled first")
        exported = self.runtime in (Runtime.ONNXRUNTIME, Runtime.OPENVINO)
        if exported and self.device != "cpu":
            raise ConfigError(
                f"runtime {self.runtime} computes on the CPU, but device {self.device!r} was asked for; leave the "
                "device out, or take the runtime eager or compiled."
            )
        if self.runtime is Runtime.ONNXRUNTIME and self.precision is Precision.BF16:
            raise ConfigError(
                "runtime onnxruntime computes in fp32 or int8 on a CPU; ask for one of them, or take the runtime "
                "openvino or eager."
            )
        if self.precision is Precision.INT8 and (
            self.device != "cpu" or not (exported or self.runtime is Runtime.AUTO)
        ):
            raise ConfigError("int8 is computed on a CPU by the runtimes openvino and onnxruntime; take one of them.")


class RuntimeUnavailableError(OvercastError):
    """A runtime cannot run this network on this machine; the message says why and what to take instead."""
