"""Choose a runtime and make a network ready on it, before the first tile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch
from torch import nn

from overcast.arithmetic import Precision
from overcast.errors import ConfigError
from overcast.runtime.fitting import fitted
from overcast.runtime.int8 import Tiles
from overcast.runtime.network import fast_network
from overcast.runtime.options import Runtime, RuntimeOptions, RuntimeUnavailableError, TileShape

EXPORT_PAYS_PIXELS = 10_000_000
"""Smaller scenes run eagerly under `auto`: the export takes longer than it saves. Counts no cache, so that a scene
gives the same bits whatever ran before."""
COMPILING_PAYS_PIXELS = 2_000_000_000
"""Under `auto`, a GPU runs smaller scenes eagerly: compiling takes longer than it saves."""


@dataclass(frozen=True)
class Ready:
    """A network that runs."""

    network: nn.Module
    """Standardised x (B, C, H, W) to logits (B, K, H, W)."""
    runtime: Runtime
    """Never AUTO."""
    label: str
    """Runtime, its version, precision and device: what an output's metadata says."""
    note: str | None
    """Why `auto` did not take what it would have taken; one line."""


def prepare(
    network: nn.Module,
    shape: TileShape,
    pixels: int,
    options: RuntimeOptions,
    on_note: Callable[[str], None] | None = None,
    tiles: Callable[[], Tiles] | None = None,
) -> Ready:
    """A network made ready for tiles of one shape: exported, compiled and checked now, so that nothing fails later.

    Args:
        network: Standardised x (B, C, H, W) to logits (B, K, H, W), float32, in evaluation mode.
        shape: Of the tiles; others work too, and are prepared when they come.
        pixels: That it will see: whether an export pays.
        options: AUTO takes the fastest that works.
        on_note: Called with a sentence before each step that takes seconds.
        tiles: Real tiles for INT8, read only where they are needed.

    Raises:
        ConfigError: The runtime that was asked for does not run the network here; the message says why.
    """
    notes: list[str] = []
    for runtime in _candidates(options, pixels):
        chosen = replace(options, runtime=runtime)
        if on_note is not None and runtime is not Runtime.EAGER:
            on_note(f"getting the network ready on {runtime}; this takes longest the first time")
        try:
            fast = _fast(network, chosen, tiles, on_note)
            return Ready(_tried(fast, shape, chosen), runtime, _label(chosen), " ".join(notes) or None)
        except RuntimeUnavailableError as error:
            if options.runtime is not Runtime.AUTO or runtime is _candidates(options, pixels)[-1]:
                raise ConfigError(str(error)) from error
            notes.append(f"{runtime} does not work here: {error}")
    raise AssertionError("eager always works")


def _candidates(options: RuntimeOptions, pixels: int) -> tuple[Runtime, ...]:
    """What to try, fastest first; the last always works."""
    if options.runtime is not Runtime.AUTO:
        return (options.runtime,)
    if options.precision is Precision.INT8:
        return Runtime.OPENVINO, Runtime.ONNXRUNTIME
    kind = options.device.partition(":")[0]
    if kind == "cuda" and pixels >= COMPILING_PAYS_PIXELS:
        return Runtime.COMPILED, Runtime.EAGER
    if kind != "cpu" or pixels < EXPORT_PAYS_PIXELS:
        return (Runtime.EAGER,)
    if options.precision is Precision.FP32:
        return Runtime.OPENVINO, Runtime.ONNXRUNTIME, Runtime.EAGER
    return Runtime.OPENVINO, Runtime.EAGER


def _fast(
    network: nn.Module,
    options: RuntimeOptions,
    tiles: Callable[[], Tiles] | None,
    on_note: Callable[[str], None] | None,
) -> nn.Module:
    if options.precision is not Precision.INT8:
        return fast_network(network.eval(), options)
    if tiles is None:
        raise ConfigError(
            "int8 is fitted to tiles of the scene that is mapped, and there are none to fit it to here: take bf16 or "
            "fp32, or map scenes one by one on this machine from SAR alone."
        )
    return fitted(network.eval(), options, tiles(), on_note)


def _tried(fast: nn.Module, shape: TileShape, options: RuntimeOptions) -> nn.Module:
    """The network after a first tile, so that nothing fails later."""
    if options.runtime is Runtime.EAGER:
        return fast
    try:
        tiles = torch.zeros(shape.batch, *shape.single[1:], device=options.device)
    except (RuntimeError, AssertionError) as error:  # what torch raises for an unknown or missing device
        raise RuntimeUnavailableError(f"device {options.device!r} cannot be used; use cpu.") from error
    with torch.inference_mode(), autocast(options.precision, options.device):
        fast.to(options.device)(tiles)
    return fast


def autocast(precision: Precision, device: str) -> AbstractContextManager[object]:
    """In what a network of a precision, which is settled, runs on a device."""
    if precision is not Precision.BF16:
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def _label(options: RuntimeOptions) -> str:
    library = "torch" if options.runtime in (Runtime.EAGER, Runtime.COMPILED) else options.runtime.value
    return f"{options.runtime} ({library} {version(library)}), {options.precision}, {options.device}"
