"""One surface under atheris, for `guided`: `python -m benchmarks.robustness.followed SURFACE FOLDER [of libFuzzer...]`.

The files that fail go to FOLDER/failures. Atheris ends the process itself.
"""

from __future__ import annotations

import hashlib
import random
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["overcast", "yaml"]):
    from benchmarks.robustness.mutations import SIGNED_ADDRESS
    from benchmarks.robustness.pool import FAILURES, Desk
    from benchmarks.robustness.surfaces import SURFACES


def main() -> None:
    """Never returns."""
    _, name, folder, *options = sys.argv
    (surface,) = (surface for surface in SURFACES if surface.name == name)
    failures = Path(folder) / "failures"
    warnings.simplefilter("ignore")
    desk = Desk(surface, Path(folder) / "desk")

    def read(content: bytes) -> None:
        found = desk.outcome(content)
        rest = content.replace(SIGNED_ADDRESS.encode(), b"")
        broken = found.failure.endswith(" a secret") and (b"PASSW0RD" in rest or b"S3CRET" in rest)
        if found.kind in FAILURES and not broken:  # in an address that lost its beginning no reader can know the secret
            place = failures / hashlib.sha256(found.failure.encode()).hexdigest()[:8]
            place.mkdir(parents=True, exist_ok=True)
            (place / "failure.txt").write_text(f"{found.kind}: {found.failure}\n{found.detail}\n", encoding="utf-8")
            (place / hashlib.sha256(content).hexdigest()[:8]).write_bytes(content)

    def damaged(content: bytes, longest: int, seed: int) -> bytes:
        draw = random.Random(seed)  # noqa: S311  # no secret
        if draw.random() < 0.5:
            try:
                return surface.mutate(content, draw)[:longest]
            except Exception:  # noqa: BLE001, S110  # a file that is damaged already may have no structure left
                pass
        return bytes(atheris.Mutate(content, longest))

    corpus = Path(folder) / "corpus"
    corpus.mkdir(exist_ok=True)
    (corpus / "valid").write_bytes(desk.valid)
    atheris.Setup([sys.argv[0], str(corpus), *options], read, custom_mutator=damaged)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
