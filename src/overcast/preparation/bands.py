"""Which band of which file is which polarisation: named by the user, the files or their names, never by order alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overcast.errors import InputError, RadiometryError
from overcast.preparation.calibrated import polarisation_in
from overcast.preparation.inputs import Input
from overcast.preparation.metadata import documents
from overcast.products.hdf5 import hdf5_image
from overcast.products.product import POLARISATIONS, Stated
from overcast.raster.addresses import address, file_name
from overcast.raster.composed import open_hdf5, open_mosaic
from overcast.raster.files import grid_of, opaque_bands, open_raster, reading, require_complete
from overcast.raster.georeference import Georeference
from overcast.raster.radiometry import contradicted
from overcast.raster.tiles import beside_each_other
from overcast.scenes.declare import declared_in

Place = tuple[Path, str | None]
"""A file, and the data set within it."""


@dataclass(frozen=True)
class Band:
    """One band that the model needs, in an open file."""

    name: str
    path: Path
    index: int
    """Counted from 1."""
    dataset: Any  # rasterio publishes no types
    stated: Stated = field(default_factory=Stated)
    """What the product that it comes from says of its values."""
    tiles: tuple[Path, ...] = ()
    """Files of which the image is made, where these are several."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that it is read from."""
        return self.tiles or (self.path,)

    @property
    def grid(self) -> Georeference:
        """Grid of the band's file."""
        return grid_of(self.dataset)

    @property
    def is_complex(self) -> bool:
        """True for single-look complex values."""
        return str(self.dataset.dtypes[self.index - 1]).startswith("complex")

    @property
    def label(self) -> str:
        """Name, file and band, for people."""
        others = f" and {len(self.tiles) - 1} further tiles" if self.tiles else ""
        band = f" (band {self.index})" if self.dataset.count > 1 else ""
        return f"{self.name} of {address(self.path)}{others}{band}"


def find_bands(
    inputs: Sequence[Input],
    needed: tuple[tuple[str, ...], str] | None,
    declared: tuple[str, ...] | None,
    stack: ExitStack,
) -> tuple[Band, ...]:
    """The bands that a model needs, in its order; `stack` closes their files.

    Args:
        inputs: Files, or bands of them.
        needed: Names of the bands, and the model's name; None takes all bands as they come.
        declared: Names of all bands of the files, where the user gives them.
        stack: Closes the files.

    Raises:
        InputError: A file is missing, damaged or lacks a band.
        RadiometryError: The name of a band is not known, two have one name, or a needed one is missing.
    """
    if not inputs:
        raise InputError("no input was given; name at least one file.")
    datasets: dict[Place, Any] = {}
    for one in inputs:
        if (one.path, one.inside) not in datasets:
            datasets[one.path, one.inside] = stack.enter_context(opened(one))
    plain = [(one, index) for one in inputs if one.name is None for index in _indexes(one, _of(one, datasets))]
    names = _plain_names(plain, datasets, needed[0] if needed else POLARISATIONS, declared)
    found = [
        Band(name, one.path, index, _of(one, datasets), one.stated)
        for (one, index), name in zip(plain, names, strict=True)
    ]
    found += [_named(one, _of(one, datasets)) for one in inputs if one.name is not None]
    return _ordered(joined(found, stack), needed)


def unnamed_bands(inputs: Sequence[Input], stack: ExitStack) -> list[Band]:
    """A band of each file, to ask what else is not known where nobody knows their names."""
    datasets = {(one.path, one.inside): (one, stack.enter_context(opened(one))) for one in inputs}
    return [
        Band(f"band {number}", one.path, one.index or 1, dataset, one.stated)
        for number, (one, dataset) in enumerate(datasets.values(), 1)
        if (one.index or 1) <= dataset.count
    ]


@contextmanager
def opened(one: Input) -> Iterator[Any]:
    """The rasterio data set of an input. Raises InputError where it is missing, damaged or truncated."""
    if one.inside is None:
        with open_raster(one.path, virtual=True) as dataset:
            require_complete(one.path, dataset)
            yield dataset
        return
    image = hdf5_image(one.path, one.inside)
    with reading(one.path):
        dataset = open_hdf5(image)
    try:
        yield dataset
    finally:
        dataset.close()


def joined(found: Sequence[Band], stack: ExitStack) -> list[Band]:
    """The bands, those of tiles of one scene made one; others of one name are left as they are."""
    groups: dict[str, list[Band]] = {}
    for band in found:
        groups.setdefault(band.name.upper(), []).append(band)
    mosaics: dict[tuple[Path, ...], Any] = {}
    result: list[Band] = []
    for group in groups.values():
        paths = tuple(band.path for band in group)
        apart = len({band.index for band in group}) == 1 < len(set(paths)) == len(paths)
        if not apart or not beside_each_other([band.dataset for band in group]):
            result += group
            continue
        if paths not in mosaics:
            with reading(paths[0]):
                mosaics[paths] = stack.enter_context(_closing(open_mosaic(paths)))
        result.append(replace(group[0], dataset=mosaics[paths], tiles=paths))
    return result


@contextmanager
def _closing(dataset: Any) -> Iterator[Any]:
    try:
        yield dataset
    finally:
        dataset.close()


def _of(one: Input, datasets: Mapping[Place, Any]) -> Any:
    return datasets[one.path, one.inside]


def _ordered(found: Sequence[Band], needed: tuple[tuple[str, ...], str] | None) -> tuple[Band, ...]:
    wanted, model = needed or ((), "")
    wanted = tuple(_given(name, found) for name in wanted)
    by_name: dict[str, Band] = {}
    upper = {name.upper(): name for name in wanted}
    for band in found:
        name = upper.get(band.name.upper(), band.name)
        if name in by_name:
            tiles = ", or bring tiles of one scene to one grid (gdalwarp)" if band.path != by_name[name].path else ""
            raise RadiometryError(
                f"{by_name[name].label} and {band.label} are both called {name}; give each band its name, "
                f"for example {name}={address(band.path)}@{band.index}{tiles}."
            )
        by_name[name] = replace(band, name=name)
    missing = [name for name in wanted if name not in by_name]
    if missing:
        files = ", ".join(dict.fromkeys(address(band.path) for band in found))
        twin = {"HV": "VH", "VH": "HV"}.get(missing[0], "")
        hint = f" ({missing[0]} may be taken from {twin} by naming it twice)" if twin in by_name else ""
        raise RadiometryError(
            f"{files}: model {model} needs {', '.join(missing)} too, but only {', '.join(by_name)} were given; "
            f"add {missing[0]}=FILE{hint}, or take a model for {', '.join(by_name)} (--model)."
        )
    return tuple(by_name[name] for name in wanted or by_name)


def _given(name: str, found: Sequence[Band]) -> str:
    """Which of several polarisations that a model's band may have is there: the first of them; else the name."""
    there = {band.name.upper() for band in found}
    return next((each for each in name.split("|") if each.upper() in there), name)


def _indexes(one: Input, dataset: Any) -> list[int]:
    if one.index is not None:
        if one.index > dataset.count:
            raise InputError(
                f"{address(one.path)} has {dataset.count} bands, no band {one.index}; correct the number after @."
            )
        return [one.index]
    return list(opaque_bands(dataset))


def _named(one: Input, dataset: Any) -> Band:
    indexes = _indexes(one, dataset)
    if len(indexes) != 1:
        raise RadiometryError(
            f"{address(one.path)} has {len(indexes)} bands and {one.name}= does not say which; "
            f"write {one.name}={address(one.path)}@1, "
            "with the number of the band."
        )
    return Band(str(one.name), one.path, indexes[0], dataset, one.stated)


def _plain_names(
    plain: Sequence[tuple[Input, int]],
    datasets: Mapping[Place, Any],
    wanted: tuple[str, ...],
    declared: tuple[str, ...] | None,
) -> list[str]:
    """Names of the bands that the user did not name one by one."""
    if declared is not None:
        if len(declared) != len(plain):
            raise RadiometryError(
                f"--bands {','.join(declared)} names {len(declared)} bands, but the files hold {len(plain)}; "
                "name every band of every file, in order."
            )
        described = [_of(one, datasets).descriptions[index - 1] for one, index in plain]
        if contradicted(declared, described):
            raise RadiometryError(
                f"--bands {','.join(declared)} contradicts the files, which call their bands {', '.join(described)}; "
                f"leave it out, or name each band by itself, for example {declared[0]}={address(plain[0][0].path)}@1."
            )
        return list(declared)
    return [_name(one, index, _of(one, datasets), wanted) for one, index in plain]


def _name(one: Input, index: int, dataset: Any, wanted: tuple[str, ...]) -> str:
    """From the declaration in or beside the file, the band's description, or the name of a file of one band."""
    listed = declared_in(one.path, dataset).get("bands")
    if isinstance(listed, list | tuple) and len(listed) == dataset.count:
        return str(listed[index - 1])
    description = dataset.descriptions[index - 1]
    texts = [description or ""] + ([Path(file_name(one.path)).stem] if dataset.count == 1 else [])
    for text in texts:
        named = _tokens(text, wanted)
        if len(named) == 1:
            return named[0]
    if dataset.count == 1 and (only := polarisation_in(documents([one.path], [dataset.tags()], []))) is not None:
        return only
    said = f"is described as {description!r}" if description else "has no description"
    example = wanted[0]
    how = (
        f"write {example}={address(one.path)}"
        if dataset.count == 1
        else "name all bands in order, for example --bands VV,VH"
    )
    raise RadiometryError(f"{address(one.path)}: band {index} {said}, so nobody knows its polarisation; {how}.")


def _tokens(text: str, wanted: tuple[str, ...]) -> list[str]:
    """Different band names that stand alone in a text.

    >>> _tokens("Sigma0_vv_db", ("VV", "VH"))
    ['VV']
    """
    names = {name.upper(): name for name in (*POLARISATIONS, *wanted)}
    words = re.split(r"[^A-Z0-9]+", text.upper())
    whole = [names[text.upper()]] if text.upper() in names else []
    return whole or list(dict.fromkeys(names[word] for word in words if word in names))
