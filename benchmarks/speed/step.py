"""One training step of two presets in one run: chips per second before and after the step was made cheaper.

    python -m benchmarks.speed.step --threads 1                # the machine's own instructions
    python -m benchmarks.speed.step --threads 1 --avx2         # a processor without AVX-512, imitated

A step is forward, backward, gradient clipping and optimiser on a batch that lies in memory, with the deterministic
switches of `overcast train` on a CPU. Three kinds take turns, round by round, in one process:

    former   preset `thin` by the former step: fresh memory filled, the library's gradients of depthwise convolutions on
             small maps, an optimiser that visits the weights one by one
    thin     preset `thin` by today's step
    tiny     preset `tiny` by today's step

and any other architecture with --network, which changes `tiny`: --network '{"encoder_blocks": 2}'.
Medians over the rounds, of processor time (which other work on the machine disturbs least) and of elapsed time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.optim import AdamW

from overcast.batch import Batch
from overcast.evaluation.machine import describe_machine
from overcast.methods.options import MethodOptions, build_method
from overcast.models import depthwise
from overcast.models.spec import PRESETS, NetworkSpec, Preset
from overcast.training.module import parameter_groups
from overcast.training.options import OptimiserOptions
from overcast.training.trainer import restored_switches

SAR_BANDS, OPTICAL_BANDS = 4, 3
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


@dataclass(frozen=True)
class Kind:
    """What is measured."""

    name: str
    network: NetworkSpec
    former: bool = False


KINDS = (
    Kind("former", PRESETS[Preset.THIN], former=True),
    Kind("thin", PRESETS[Preset.THIN]),
    Kind("tiny", PRESETS[Preset.TINY]),
)


@dataclass(frozen=True)
class Seconds:
    """Of one step."""

    processor: float
    elapsed: float


def main() -> None:
    """Measure and print."""
    given = arguments()
    if given.avx2 and any(os.environ.get(name) != value for name, value in AVX2.items()):
        environment = os.environ | AVX2  # libraries read it when they load
        again = [sys.executable, "-m", "benchmarks.speed.step", *sys.argv[1:]]
        os.execve(sys.executable, again, environment)  # noqa: S606  # this very script
    torch.set_num_threads(given.threads)
    instructions = torch.backends.cpu.get_cpu_capability()
    print(f"{describe_machine()}; {instructions} instructions; {given.threads} torch threads; "
          f"load average {os.getloadavg()[0]:.1f}; {dt.datetime.now(dt.UTC):%Y-%m-%d}")  # fmt: skip
    print(f"{given.batch_size} x {given.crop} px, {SAR_BANDS} SAR and {OPTICAL_BANDS} optical bands, median of "
          f"{given.rounds} rounds of {given.steps} steps after one round that does not count\n")  # fmt: skip
    print("| precision | method | step | chips/s of processor time | former = 1 | chips/s elapsed | former = 1 |")
    print("|---|---|---|---|---|---|---|")
    for precision in given.precisions:
        for method in given.methods:
            report(precision, method, measured(method, precision, given), given.batch_size)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["sar", "sar_twin", "cmhcl"])
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32"])
    parser.add_argument("--avx2", action="store_true", help="imitate a processor without AVX-512 and AMX")
    parser.add_argument("--network", nargs="+", type=changed, default=[], metavar="JSON", help="changes to tiny")
    parser.add_argument("--crop", type=positive, default=64)
    parser.add_argument("--batch-size", type=positive, default=16)
    parser.add_argument("--steps", type=positive, default=3, help="of a round")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--threads", type=positive, default=os.cpu_count(), help="of torch")
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, got {text!r}")
    return int(text)


def changed(text: str) -> Kind:
    """Preset `tiny` with changes."""
    try:
        return Kind(text, NetworkSpec.model_validate(PRESETS[Preset.TINY].model_dump() | json.loads(text)))
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"cannot change the network by {text!r}: {error}") from error


def measured(method: str, precision: str, given: argparse.Namespace) -> dict[str, list[Seconds]]:
    """Seconds per step of each kind, round by round; the kinds take turns."""
    batch = random_batch(given.batch_size, given.crop)
    steps = {kind: step_of(kind, method, precision, batch) for kind in (*KINDS, *given.network)}
    found: dict[str, list[Seconds]] = {kind.name: [] for kind in steps}
    for counted in (False, *[True] * given.rounds):
        for kind, step in steps.items():
            processor, elapsed = time.process_time(), time.perf_counter()
            with restored_switches(), switches(kind):
                for _ in range(given.steps):
                    step()
            if counted:
                found[kind.name].append(
                    Seconds(
                        (time.process_time() - processor) / given.steps, (time.perf_counter() - elapsed) / given.steps
                    )
                )
    return found


def random_batch(size: int, side: int) -> Batch:
    """Noise without gaps."""
    noise = torch.Generator().manual_seed(0)

    def image(bands: int) -> torch.Tensor:
        return torch.randn(size, bands, side, side, generator=noise).contiguous(memory_format=torch.channels_last)

    valid = torch.ones(size, 1, side, side, dtype=torch.bool)
    label = (torch.rand(size, side, side, generator=noise) > 0.7).to(torch.uint8)
    return Batch(image(SAR_BANDS), valid, image(OPTICAL_BANDS), valid, label, keys=("noise",) * size)


def step_of(kind: Kind, name: str, precision: str, batch: Batch) -> Callable[[], None]:
    """One optimiser step on the batch."""
    options: Any = TypeAdapter(MethodOptions).validate_python({"name": name})
    spec = kind.network.untrained().with_bands(SAR_BANDS, OPTICAL_BANDS)
    method = build_method(options, spec).train().to(memory_format=torch.channels_last)
    optimiser = AdamW(parameter_groups(method.parameters(), OptimiserOptions()), lr=1e-3, fused=not kind.former)

    def step() -> None:
        method.begin_step(0, 100)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = torch.stack([term.float() for term in method.losses(batch, 0, 100).values()]).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimiser.step()

    return step


@contextmanager
def switches(kind: Kind) -> Iterator[None]:
    """Training's switches on a CPU; for the former step what they were then."""
    small: int = depthwise.SMALL_MAP_PX
    memory: Any = torch.utils.deterministic
    torch.use_deterministic_algorithms(True)
    if kind.former:
        depthwise.SMALL_MAP_PX, memory.fill_uninitialized_memory = 0, True
    try:
        yield
    finally:
        depthwise.SMALL_MAP_PX = small


def report(precision: str, method: str, found: dict[str, list[Seconds]], chips: int) -> None:
    """The rows of one method."""
    medians = {
        name: (statistics.median(s.processor for s in rounds), statistics.median(s.elapsed for s in rounds))
        for name, rounds in found.items()
    }
    former = medians[KINDS[0].name]
    for name, seconds in medians.items():
        cells = [f"{chips / own:.1f} | {before / own:.2f}" for own, before in zip(seconds, former, strict=True)]
        print(f"| {precision} | `{method}` | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
