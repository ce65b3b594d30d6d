"""What bfloat16 gains or costs on this processor, and on older ones that it imitates: one convolution, one thread.

    python -m benchmarks.speed.arithmetic

A convolution of 64 channels, 3 x 3, on 2 x 128 x 128 pixels, forward and backward: least processor time of 5 rounds.
The right column is what `precision: auto` chooses there; it should be the faster of the two.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

import torch
from benchmarks.limits import as_command

from overcast.arithmetic import Precision, capabilities, settled_precision
from overcast.evaluation.machine import describe_machine

KINDS = {
    "its own": {},
    "AVX-512 without BF16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
}
ROUNDS = 5


def convolution_ms(*, bf16: bool) -> float:
    """Least processor time of a convolution, forward and backward."""
    convolution = torch.nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    image = torch.randn(2, 64, 128, 128).to(memory_format=torch.channels_last).requires_grad_()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = convolution(image)
        found.float().sum().backward()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def measure(kind: str) -> None:
    """Print a row, in a process whose environment is that of the kind."""
    torch.set_num_threads(1)
    chosen = settled_precision(Precision.AUTO, "cpu", capabilities())
    print(f"| {kind} | {convolution_ms(bf16=False):.0f} ms | {convolution_ms(bf16=True):.0f} ms | {chosen} |")


def main() -> None:
    """Measure each kind in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, help="this process measures one kind, as its environment says")
    given = parser.parse_args()
    if given.kind is not None:
        measure(given.kind)
        return
    print(f"{describe_machine()}\n\n| instructions | fp32 | bf16 | auto |\n|---|---|---|---|", flush=True)
    for kind, environment in KINDS.items():
        subprocess.run(
            [sys.executable, "-m", "benchmarks.speed.arithmetic", "--kind", kind],
            env=os.environ | environment,
            check=True,
        )


if __name__ == "__main__":
    as_command(main)
