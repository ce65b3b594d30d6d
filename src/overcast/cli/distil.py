"""`overcast distil`: two streams into one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def distil(
    *,
    run: Annotated[Path, typer.Argument(help="Finished run folder: its model, data set, split and budget are taken.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder of the distilled model.")],
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value, for example training.steps=500.")] = None,
    resume: Annotated[bool, typer.Option(help="Resume a stopped run; --no-resume starts from the beginning.")] = True,
) -> None:
    """Distil the model of a run into one plain SAR network, at the cost of `sar`.

    It learns the model's probabilities on all training places, and the labels where there are some.

    Example: `overcast distil runs/cmhcl -o runs/one-stream`
    """
    from overcast.config import distil_config, train

    result = train(distil_config(run, sets or ()), output, resume=resume)
    for name, metrics in result.metrics.items():
        typer.echo(f"{name}: " + ", ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))
    typer.echo(f"bundle: {result.deployable}")
