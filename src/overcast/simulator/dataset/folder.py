"""Writes simulated places as a folder data set: parallel, resumable, complete or absent."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from overcast.errors import InputError
from overcast.processes import end_with_parent, sole_user
from overcast.reading import read_bytes
from overcast.simulator.dataset.stac import chip_looks, read_items, write_collection, write_item
from overcast.simulator.dataset.writing import save, write_description, write_place_chips, write_scene
from overcast.simulator.options import SimulationOptions
from overcast.simulator.place import PlaceId, place_ids, simulate_place
from overcast.simulator.variety import varied

Progress = Callable[[int, int], None]
"""Called with (places written, places in all)."""
OPTIONS_FILE = "simulation.json"


def simulate_dataset(output: Path, options: SimulationOptions, progress: Progress | None = None) -> Path:
    """Write the data set of `options` to the folder `output` and return it.

    The folder is built as `<output>.partial` and renamed at the end; an interrupted call goes on where it stopped.
    A finished folder of the same options is left as it is. Raises InputError where `output` or its partial folder
    holds something else.
    """
    if is_finished(output, options):
        return output
    with begun(output, options) as partial:
        places = place_ids(options)
        waiting = [place for place in places if not _marker(partial, place).exists()]
        done = len(places) - len(waiting)
        if progress is not None:
            progress(done, len(places))
        for _ in _run(partial, waiting, options):
            done += 1
            if progress is not None:
                progress(done, len(places))
        items = read_items(partial)
        write_description(partial, options, chip_looks(items))
        write_collection(partial, options, items)
    return output


def _content(options: SimulationOptions) -> str:
    """The options that decide the bytes."""
    return options.model_dump_json(indent=1, exclude={"workers"}) + "\n"


def _holds(record: Path, options: SimulationOptions) -> bool:
    return read_bytes(record, InputError, "remove its folder") == _content(options).encode()


def is_finished(output: Path, options: SimulationOptions) -> bool:
    """True where the folder holds the data set of these options. Raises InputError where it holds something else."""
    if not output.exists():
        return False
    record = output / OPTIONS_FILE
    if record.is_file() and _holds(record, options):
        return True
    if output.is_dir() and not any(output.iterdir()):
        return False
    raise InputError(f"{output} exists and holds something else: remove it or choose another folder.")


@contextmanager
def begun(output: Path, options: SimulationOptions) -> Iterator[Path]:
    """The folder beside `output` that is filled, new or begun earlier; at the end it becomes `output`.

    Raises:
        InputError: It was begun with other options.
        ConfigError: Another process is filling it.
    """
    partial = output.with_name(output.name + ".partial")
    _begin(partial, output, options)
    with sole_user(partial):
        yield partial
        shutil.rmtree(partial / ".done")
        partial.replace(output)


def _begin(partial: Path, output: Path, options: SimulationOptions) -> None:
    record = partial / OPTIONS_FILE
    if partial.is_symlink():
        raise InputError(f"{partial} is a symbolic link, but unfinished places belong there; remove it.")
    if partial.exists() and any(partial.iterdir()):
        if not record.is_file() or not _holds(record, options):
            raise InputError(f"{partial} was begun with other options: remove it, then simulate {output} again.")
    else:
        beside = output.with_name(f".{output.name}.{os.getpid()}.json")
        save(beside, _content(options).encode())
        partial.mkdir(exist_ok=True)
        beside.replace(record)
    (partial / ".done").mkdir(exist_ok=True)


def _marker(partial: Path, place: PlaceId) -> Path:
    return partial / ".done" / place.name


def _run(partial: Path, places: list[PlaceId], options: SimulationOptions) -> Iterator[PlaceId]:
    """Write places, yielding each as it is finished."""
    workers = min(options.workers, len(places))
    if workers <= 1:
        for place in places:
            yield write_place(partial, place, options)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=end_with_parent) as pool:
        futures = [pool.submit(write_place, partial, place, options) for place in places]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_place(partial: Path, place: PlaceId, options: SimulationOptions) -> PlaceId:
    """Simulate and write one place; its marker is written last, so a place counts only when it is whole."""
    simulated = simulate_place(place, options)
    options = varied(options, place.index)
    write = write_place_chips if place.index < options.places else write_scene
    files = write(partial, place.name, simulated, options)
    write_item(partial, place.name, simulated, options, files)
    _marker(partial, place).touch()
    return place
