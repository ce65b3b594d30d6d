"""ONNX Runtime and OpenVINO on an exported network."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from typing import Any, assert_never

import numpy as np

from overcast.arithmetic import Precision
from overcast.runtime.onnx_export import INPUT, Floats, failure, probe_of
from overcast.runtime.options import Runtime, RuntimeUnavailableError, TileShape

Session = Callable[[Floats], Floats]
"""A standardised tile (1, C, h, w) to logits (1, K, h, w)."""

LARGEST_FP32_DIFFERENCE = 1e-3
"""Largest difference of a logit from PyTorch's, relative to the largest logit (or 1): rounding, no more."""
LARGEST_BF16_DIFFERENCE = 0.05
"""Mean difference of probabilities: 8 bits of mantissa through some sixty layers; a broken kernel is far off."""


def open_session(runtime: Runtime, precision: Precision, content: bytes, shape: TileShape, threads: int) -> Session:
    """A runtime made ready and checked against the sample of results in the export.

    Args:
        runtime: ONNXRUNTIME or OPENVINO.
        precision: BF16 with OPENVINO only; of INT8 the export is a quantised one.
        content: As made by `export_onnx`.
        shape: For which it was made.
        threads: That it may use.

    Raises:
        RuntimeUnavailableError: It cannot run the network here, or does so wrongly.
    """
    probe = probe_of(content, shape)
    try:
        session = open_unchecked(runtime, precision, content, threads)
        found = session(probe.tile)
    except RuntimeUnavailableError:
        raise
    except Exception as error:  # runtimes raise what they like
        raise RuntimeUnavailableError(
            f"{runtime} cannot run the exported network ({failure(error)}); take the runtime eager."
        ) from error
    _check(probe.difference(found), probe.logits, runtime, precision)
    return session


def open_unchecked(runtime: Runtime, precision: Precision, content: bytes, threads: int) -> Session:
    """A runtime on any ONNX file whose one input and output are named `INPUT` and `OUTPUT`."""
    match runtime:
        case Runtime.ONNXRUNTIME:
            return _onnxruntime(content, threads)
        case Runtime.OPENVINO:
            return _openvino(content, precision, threads)
        case Runtime.AUTO | Runtime.EAGER | Runtime.COMPILED:
            raise ValueError(f"{runtime} does not run exports")
        case _:
            assert_never(runtime)


def _onnxruntime(content: bytes, threads: int) -> Session:
    os.environ.setdefault(
        "ORT_DISABLE_TELEMETRY", "1"
    )  # else its import writes a device number and reports to its maker
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(tile: Floats) -> Floats:
        logits: Floats = session.run(None, {INPUT: tile})[0]
        return logits

    return run


_CORE_LOCK = threading.Lock()


@cache
def _openvino_core() -> Any:
    """One for the process, never destroyed before its end.

    On processors with AVX-512 its CPU plugin gives the thread that creates it an alternate stack for signals, and
    unmaps that when it is destroyed, in whichever thread that is. If it is another one, the next signal that the first
    thread handles, Ctrl-C for example, ends the process by a segmentation fault (seen with version 2026.4).
    """
    import openvino

    return openvino.Core()


def _openvino(content: bytes, precision: Precision, threads: int) -> Session:
    with _CORE_LOCK:
        core = _openvino_core()
    if precision is Precision.BF16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise RuntimeUnavailableError("openvino finds no bfloat16 arithmetic in this processor; ask for fp32.")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision is Precision.BF16 else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # every process binds its threads to the same cores, the first ones
    }
    request = core.compile_model(core.read_model(content), "CPU", settings).create_infer_request()

    def run(tile: Floats) -> Floats:
        logits: Floats = request.infer({0: tile}, share_inputs=True, share_outputs=False)[0]
        return logits

    return run


def _check(difference: Floats, expected: Floats, runtime: Runtime, precision: Precision) -> None:
    """Raise RuntimeUnavailableError where results are not those of PyTorch."""
    scale = max(1.0, float(np.abs(expected).max()))
    match precision:
        case Precision.FP32:
            wrong = not float(difference.max()) <= LARGEST_FP32_DIFFERENCE * scale
        case Precision.BF16:
            wrong = not float(np.mean(difference)) <= LARGEST_BF16_DIFFERENCE * scale
        case Precision.INT8:
            wrong = not np.isfinite(difference).all()  # judged on real tiles: noise is not what its ranges are for
        case Precision.AUTO:
            raise ValueError("auto has to be settled first")
        case _:
            assert_never(precision)
    if wrong:
        raise RuntimeUnavailableError(
            f"{runtime} {precision} computes something else than PyTorch here (logits differ by up to "
            f"{float(difference.max()):.3g}); take the runtime eager."
        )
