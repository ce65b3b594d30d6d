"""What mapping an area takes on a cluster, from a rate that was measured.

    python -m benchmarks.speed.cluster_cost --seconds-per-km2 1.5 --workers-per-machine 8 --machines 10 \
        --price-per-hour 0.40

The seconds per km^2 of one worker come from `overcast bench scene --threads N` with the threads that a worker gets, on
such a machine. The share of time in which workers compute is that of a run with them: `--efficiency`. Overlaps of tiles
and the writing of outputs are in a rate of whole scenes; moving scenes to the machines is not.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks.limits import as_command, at_least, positive, share


@dataclass(frozen=True)
class Cluster:
    """What is rented."""

    machines: int
    workers_per_machine: int
    price_per_hour: float
    """Of one machine."""
    efficiency: float
    """Share of the workers' time that is computing."""


def hours(km2: float, seconds_per_km2: float, cluster: Cluster) -> float:
    """Elapsed hours.

    >>> round(hours(3600, 2.0, Cluster(2, 4, 1.0, 0.5)), 6)
    0.5
    """
    workers = cluster.machines * cluster.workers_per_machine
    return km2 * seconds_per_km2 / (workers * cluster.efficiency) / 3600


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds-per-km2", type=positive, required=True, help="of one worker, measured")
    parser.add_argument("--km2", type=positive, default=1e6)
    parser.add_argument("--machines", type=at_least(1), default=1)
    parser.add_argument("--workers-per-machine", type=at_least(1), default=1)
    parser.add_argument("--price-per-hour", type=positive, required=True, help="of one machine, in any currency")
    parser.add_argument("--efficiency", type=share, default=0.8, help="share of time in which workers compute")
    given = parser.parse_args()
    cluster = Cluster(given.machines, given.workers_per_machine, given.price_per_hour, given.efficiency)
    elapsed = hours(given.km2, given.seconds_per_km2, cluster)
    machine_hours = elapsed * cluster.machines
    print(
        f"{given.km2:,.0f} km2 at {given.seconds_per_km2:g} s/km2 with {cluster.machines} x "
        f"{cluster.workers_per_machine} workers computing {cluster.efficiency:.0%} of the time:"
    )
    print(
        f"{elapsed:,.1f} hours, {machine_hours:,.0f} machine hours, {machine_hours * cluster.price_per_hour:,.0f} "
        f"at {cluster.price_per_hour:g} an hour"
    )


if __name__ == "__main__":
    as_command(main)
