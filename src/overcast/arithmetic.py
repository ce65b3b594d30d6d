"""What a machine computes natively, and what `auto` means by it for device and precision.

The choice follows what processor and GPU declare, never a timing: the same machine always chooses alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

AUTO = "auto"
"""A device that is still to be chosen."""

WITHOUT_BF16 = frozenset({"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"})
"""Values of ONEDNN_MAX_CPU_ISA with which oneDNN, which computes PyTorch's convolutions, only emulates bfloat16."""


class Precision(StrEnum):
    """Arithmetic of a network; weights and optimiser are always float32."""

    AUTO = "auto"
    """BF16 where it is native, FP32 elsewhere; settled before anything is computed."""
    FP32 = "fp32"
    BF16 = "bf16"
    """bfloat16 where the runtime has it: about twice as fast on CPUs with AVX-512 BF16 or AMX, and on GPUs."""
    INT8 = "int8"
    """8-bit integers on a CPU, fitted to tiles of the scene and refused where they cost too much; never for training,
    and never chosen by `auto`."""


@dataclass(frozen=True)
class Capabilities:
    """What decides the choice."""

    cpu_bf16: bool = False
    """The processor multiplies bfloat16 itself (AVX-512 BF16 or AMX), and PyTorch may use that."""
    gpu: bool = False
    """PyTorch finds a GPU."""
    gpu_bf16: bool = False
    """Whether the GPU computes bfloat16 natively."""

    def native_bf16(self, device: str) -> bool:
        """Whether a device computes bfloat16 itself; False for kinds that are not known."""
        kind = device.partition(":")[0]
        return {"cpu": self.cpu_bf16, "cuda": self.gpu_bf16}.get(kind, False)


def capabilities() -> Capabilities:
    """Capabilities of this machine, as far as ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY let PyTorch use them."""
    import torch

    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001  # no public name
    gpu = torch.cuda.is_available()
    return Capabilities(
        cpu_bf16=usable_cpu_bf16(has, torch.backends.cpu.get_cpu_capability(), os.environ),
        gpu=gpu,
        gpu_bf16=gpu and torch.cuda.is_bf16_supported(including_emulation=False),
    )


def usable_cpu_bf16(has: bool, kernels: str, environment: Mapping[str, str]) -> bool:
    """Whether a processor that has bfloat16 instructions may use them.

    Args:
        has: AVX-512 BF16 or AMX are there.
        kernels: Instruction set of PyTorch's own operations, which ATEN_CPU_CAPABILITY lowers.
        environment: Where ONEDNN_MAX_CPU_ISA may stand, which lowers that of convolutions.

    >>> usable_cpu_bf16(True, "AVX512", {})
    True
    >>> usable_cpu_bf16(True, "AVX512", {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    False
    """
    return has and kernels.startswith(("AVX512", "AMX")) and _isa_limit(environment) not in WITHOUT_BF16


def instruction_sets() -> str:
    """The instructions of PyTorch's own operations and the limit of its convolutions: what compiled code depends on."""
    import torch

    return f"{torch.backends.cpu.get_cpu_capability()} {_isa_limit(os.environ)}".strip()


def _isa_limit(environment: Mapping[str, str]) -> str:
    return environment.get("ONEDNN_MAX_CPU_ISA", environment.get("DNNL_MAX_CPU_ISA", "")).upper()


def settled_device(wanted: str, found: Capabilities) -> str:
    """A device as PyTorch names it: `auto` is a GPU where there is one.

    >>> settled_device("auto", Capabilities(gpu=True)), settled_device("auto", Capabilities())
    ('cuda', 'cpu')
    """
    return wanted if wanted != AUTO else "cuda" if found.gpu else "cpu"


def settled_precision(wanted: Precision, device: str, found: Capabilities) -> Precision:
    """FP32 or BF16: what was asked for, or by what the device computes itself.

    >>> settled_precision(Precision.AUTO, "cpu", Capabilities(cpu_bf16=True)).value
    'bf16'
    """
    if wanted is not Precision.AUTO:
        return wanted
    return Precision.BF16 if found.native_bf16(device) else Precision.FP32


def precision_sentence(precision: Precision, device: str, found: Capabilities) -> str:
    """What is computed in, and what bfloat16 costs where it is only emulated. `precision` is settled."""
    said = f"computing in {precision} on {device}"
    if precision is Precision.BF16 and not found.native_bf16(device):
        return f"{said}, which only emulates bfloat16: that is several times slower than fp32 here"
    return said
