"""The commands about installed models: list, show, add, remove, pack, push."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overcast.choices import WeightStorage
from overcast.cli.console import counting_bar, print_json

if TYPE_CHECKING:
    from overcast.installed.adding import Offer
    from overcast.installed.summary import ModelSummary

models_app = typer.Typer(help="Installed models: list, show, add, remove, pack, push.")
ModelArgument = Annotated[str, typer.Argument(help="Installed model, bundle or run folder.")]


@models_app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List installed models: those of Overcast and yours. `predict`, `map` and `prepare` choose among them.

    Example: `overcast models --json`
    """
    if context.invoked_subcommand is not None:
        return
    from overcast.errors import BundleError
    from overcast.installed.folders import installed_models, user_folder
    from overcast.installed.summary import read_summary

    found, damaged = [], []
    for model in installed_models():
        try:
            found.append(read_summary(model))
        except BundleError as error:
            damaged.append(str(error))
    if as_json:
        print_json([_facts(summary) for summary in found])
    else:
        for summary in found:
            typer.echo(f"{summary.model.name}\n    {_line(summary)}")
        typer.echo(f"yours lie in {user_folder()}; overcast models show NAME prints a card")
    for sentence in damaged:
        typer.echo(f"damaged: {sentence}", err=True)


@models_app.command()
def show(
    *,
    name: Annotated[str, typer.Argument(help="Installed model.")],
) -> None:
    """Print the card of an installed model, and where it came from.

    Example: `overcast models show buildings-simulated-1m`
    """
    from overcast.installed.cards import card_of

    typer.echo(card_of(name))


@models_app.command()
def add(
    *,
    source: Annotated[
        str,
        typer.Argument(
            help="Bundle, run folder, .zip archive of one, https://.../model.zip, or hf:OWNER/NAME[@REVISION]."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name to install it under; default: that of its source.")] = None,
    sha256: Annotated[
        str | None,
        typer.Option(help="Expected SHA-256 of the archive, or of the weights of a folder or repository."),
    ] = None,
    accept_licence: Annotated[bool, typer.Option("--accept-licence", help="Accept its licence unasked.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace your model of that name.")] = False,
) -> None:
    """Install a model for you, after its licence is shown and accepted: safetensors weights and a record, no code.

    Example: `overcast models add town.zip --name town --accept-licence`
    """
    from overcast.installed.adding import AddOptions, add_model

    with ExitStack() as shown:
        update = shown.enter_context(counting_bar("fetching", "MB"))

        def agree(offer: Offer) -> bool:
            shown.close()
            _show_offer(offer)
            return accept_licence or _asked()

        model = add_model(
            source,
            AddOptions(name, sha256, replace),
            agree,
            lambda done, total: update(done / 2**20, total / 2**20),
        )
    typer.echo(f"installed as {model.name} in {model.folder}")


@models_app.command()
def remove(
    *,
    name: Annotated[str, typer.Argument(help="A model that you added.")],
) -> None:
    """Remove a model that you added.

    Example: `overcast models remove town`
    """
    from overcast.installed.adding import remove_model

    remove_model(name)
    typer.echo(f"removed {name}")


@models_app.command()
def pack(
    *,
    model: ModelArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Archive to write, .zip.")],
    storage: Annotated[
        WeightStorage, typer.Option(help="Number type of the weights; float16 halves the size.")
    ] = WeightStorage.FLOAT16,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a model into one archive that `overcast models add` reads, and print its checksum.

    Example: `overcast models pack runs/town -o town.zip`
    """
    from overcast.installed.sharing import pack_model
    from overcast.reading import file_sha256

    bundle = pack_model(model, output, storage, overwrite=overwrite)
    size = output.stat().st_size / 1e6
    typer.echo(f"{output}: {size:.1f} MB, weights in {storage.value}, licence {bundle.info.licence}")
    typer.echo(f"sha256 {file_sha256(output)}")


@models_app.command()
def push(
    *,
    model: ModelArgument,
    repository: Annotated[str, typer.Argument(help="hf:OWNER/NAME, or hf:OWNER/NAME@BRANCH.")],
    message: Annotated[str | None, typer.Option(help="Commit message.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Create the repository as a private one.")] = False,
) -> None:
    """Publish a model on the Hugging Face hub, or the hub that HF_ENDPOINT names, with its card and its STAC item.

    Example: `overcast models push runs/town hf:owner/town --private`
    """
    from overcast.installed.hub import hub_address
    from overcast.installed.sharing import push_model

    typer.echo(push_model(model, hub_address(repository), message, private=private))


def _facts(summary: ModelSummary) -> dict[str, object]:
    sensor = None if summary.contract is None else summary.contract.sensor
    about = {} if sensor is None else sensor.model_dump(mode="json", include={"bands", "unit", "gsd_m", "radar_side"})
    return {
        "name": summary.model.name,
        **about,
        "class_name": summary.class_name,
        "figure": summary.figure,
        "size_bytes": summary.size_bytes,
        "storage": summary.storage,
        "licence": summary.licence,
        "trained_on": summary.data,
        "simulated": summary.simulated,
        "sha256": summary.sha256,
        "packaged": summary.model.packaged,
        "folder": str(summary.model.folder),
    }


def _line(summary: ModelSummary) -> str:
    origin = "came with Overcast" if summary.model.packaged else "added by you"
    facts = (f"{summary.class_name} from {summary.needs}", summary.figure, f"{summary.size_bytes / 1e6:.1f} MB")
    return "; ".join(fact for fact in (*facts, summary.licence, origin) if fact)


def _show_offer(offer: Offer) -> None:
    summary = offer.summary
    lines = (
        f"model {summary.model.name} from {offer.source}"
        + (f", commit {offer.fetched.commit}" if offer.fetched.commit else ""),
        f"finds {summary.class_name} in {summary.needs}; {summary.figure or 'no score in its record'}",
        f"trained on {summary.data}; {summary.size_bytes / 1e6:.1f} MB",
        f"sha256 of {offer.fetched.of}: {offer.fetched.sha256}",
        f"licence of the weights: {summary.licence}",
    )
    for line in lines:
        typer.echo(line, err=True)


def _asked() -> bool:
    """Whether the user agrees. Raises ConfigError where nobody can be asked."""
    from overcast.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here whether the licence is accepted; give --accept-licence if it is.")
    return typer.confirm("Do you accept this licence?", err=True)
