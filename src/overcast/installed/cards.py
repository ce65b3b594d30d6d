"""The card of an installed model as text for a terminal."""

from __future__ import annotations

from overcast.bundle.contract import CARD
from overcast.errors import BundleError
from overcast.installed.folders import require_installed
from overcast.installed.parts import LARGEST
from overcast.installed.summary import read_summary
from overcast.reading import read_text

ORIGIN = "origin.json"
"""Where an added model came from: a file in its folder."""


def card_of(name: str) -> str:
    """Facts of an installed model, then its card without the part for machines.

    Whatever others wrote into the card, what comes is printable text: no letter of it steers the terminal. Raises
    BundleError where there is no such model, or its card is missing.
    """
    model = require_installed(name)
    summary, remedy = read_summary(model), "remove the model and add it again"
    text = read_text(model.folder / CARD, BundleError, remedy, LARGEST[CARD])
    origin = model.folder / ORIGIN
    came = "" if model.packaged or not origin.is_file() else read_text(origin, BundleError, remedy, LARGEST[CARD])
    facts = (
        f"{model.name}: {summary.needs}, {summary.size_bytes / 1e6:.1f} MB, licence {summary.licence}",
        f"weights sha256 {summary.sha256}",
        f"folder {model.folder}",
    )
    return "\n".join(map(_printable, [*facts, *came.splitlines(), "", *_body(text).splitlines()]))


def _body(card: str) -> str:
    """What stands behind the front matter."""
    parts = card.split("---\n", 2)
    return parts[2].lstrip() if len(parts) == 3 and not parts[0] else card


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in line)
