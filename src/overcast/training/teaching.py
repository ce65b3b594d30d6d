"""The finished model that a training learns from: found, checked and remembered."""

from __future__ import annotations

from pathlib import Path

from overcast.atomic import write_atomic
from overcast.batch import Modality
from overcast.bundle.bundle import RECORD, Bundle, load_bundle
from overcast.bundle.record import Parent
from overcast.errors import BundleError, InputError
from overcast.methods.one_stream import OneStream, SoftTeacher
from overcast.raster.radiometry import Radiometry, Statistics, check_same, require_same_standardise
from overcast.reading import read_record
from overcast.training.folder import RESTORE, RunFolder

TAUGHT = ("the probabilities of its predictions from SAR alone, as soft labels",)
"""What a distilled network has of its teacher, in words."""
SAME_OUTPUT = ("num_classes", "targets")
"""What both networks must have in common; the student may be smaller than its teacher."""


def give_teacher(method: OneStream, radiometry: Radiometry, statistics: Statistics) -> Parent:
    """Load the teacher that the method's options name.

    Args:
        method: As built for the data.
        radiometry: Of the data.
        statistics: That the data are standardised with.

    Returns:
        What the distilled model says of its teacher.

    Raises:
        BundleError: The bundle is damaged, does not work from SAR alone, or answers something else.
        RadiometryError: It was trained for another kind of SAR images.
    """
    bundle = load_bundle(teacher_bundle(Path(method.options.teacher)))
    info = bundle.info
    _require_same_output(bundle, method)
    name = bundle.name
    assert info.radiometry.sar is not None
    check_same(info.radiometry.sar, radiometry.sar, expected_name=f"model {name}", found_name="the training data")
    require_same_standardise(info.radiometry.sar, radiometry.sar, name)
    method.learn_from(SoftTeacher.of(bundle.standardised_network, info.statistics.sar, statistics.sar))
    return Parent(name=name, sha256=info.weights_sha256, licence=info.licence, taken=TAUGHT)


def teacher_bundle(path: Path) -> Path:
    """The bundle in a run folder, or the folder itself."""
    return path / "bundle" if (path / "bundle" / RECORD).is_file() else path


def remember_teacher(folder: RunFolder, teacher: Parent, *, write: bool) -> None:
    """Keep which model teaches a run; raises InputError where it is another than when the run began."""
    if folder.teacher.is_file():
        before = read_record(Parent, folder.teacher, InputError, RESTORE)
        if before.sha256 != teacher.sha256:
            raise InputError(
                f"the model that teaches the run in {folder.path} has changed since it began (now {teacher.name}): "
                "restore it, or choose another output folder."
            )
    elif write:
        write_atomic(folder.teacher, teacher.model_dump_json(indent=2) + "\n")


def _require_same_output(bundle: Bundle, method: OneStream) -> None:
    if bundle.info.inputs != (Modality.SAR,):
        raise BundleError(
            f"{bundle.path} ({bundle.info.method.name}) needs {' and '.join(bundle.info.inputs)} images: only a model "
            "that works from SAR alone can be distilled."
        )
    for name in SAME_OUTPUT:
        theirs, ours = getattr(bundle.info.network, name), getattr(method.spec, name)
        if theirs != ours:
            raise BundleError(
                f"{bundle.path} has {name} {theirs}, this training {ours}: set the configuration to what the bundle "
                "has, or distil another one."
            )
