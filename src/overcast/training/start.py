"""A training that starts from the weights of a bundle: which parts fit, and which bands go where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from overcast.batch import Modality
from overcast.bundle.bundle import Bundle, load_bundle
from overcast.bundle.record import Parent
from overcast.errors import BundleError
from overcast.methods.base import Method
from overcast.models.collaborative import CollaborativeNetwork
from overcast.models.network import HallucinationNetwork, SingleNetwork
from overcast.models.spec import NetworkSpec
from overcast.models.start import forget_statistics, take_over
from overcast.models.taught import TaughtNetwork
from overcast.raster.radiometry import BandStatistics, Radiometry, Standardise, require_same_standardise

DESIGN = (
    "encoder",
    "encoder_blocks",
    "decoder_channels",
    "shared_channels",
    "fusion_channels",
    "num_classes",
    "targets",
)
"""What both networks must have in common."""
EVERY, DEPLOYED = "every branch", "all that is deployed"
Pair = tuple[str, nn.Module, nn.Module]
"""What is taken over in words, and from where to where."""


@dataclass(frozen=True)
class Start:
    """Where a training starts from."""

    bundle: Path
    rate: float = 1.0
    """Factor of the learning rate for what was taken over."""


@dataclass(frozen=True)
class Started:
    """What was taken over."""

    parent: Parent
    parameters: frozenset[int]
    """`id` of each parameter that was taken over."""
    whole: bool
    """All that is deployed came, with its batch statistics: it can be scored before the first step."""
    sentence: str


def start_from(method: Method, start: Start, radiometry: Radiometry, *, keep_statistics: bool) -> Started:
    """Give a method the weights of a bundle.

    Args:
        method: As built for the new data.
        start: The bundle.
        radiometry: Of the new data.
        keep_statistics: False forgets the batch statistics, which training then estimates from the new data.

    Raises:
        BundleError: The bundle is damaged, has another architecture, or no part that the method has.
        RadiometryError: It takes radar images that are standardised in another way.
    """
    bundle = load_bundle(start.bundle)
    _require_design(bundle, method.spec)
    if Modality.SAR in bundle.info.inputs:
        require_same_standardise(bundle.info.radiometry.sar, radiometry.sar, bundle.name)
    pairs = _pairs(bundle, method, radiometry)
    bands, by_name = _bands(bundle, radiometry)
    for _, source, target in pairs:
        try:
            take_over(source, target, bands)
        except ValueError as error:
            raise BundleError(
                f"{bundle.path} does not fit method {method.name!r}, the networks differ ({error}): choose another."
            ) from error
        if not keep_statistics:
            forget_statistics(target)
    taken = tuple(name for name, _, _ in pairs)
    info = bundle.info
    name = bundle.name
    parent = Parent(name=name, sha256=info.weights_sha256, licence=info.licence, taken=taken)
    parameters = frozenset(id(parameter) for _, _, target in pairs for parameter in target.parameters())
    whole = keep_statistics and taken[0] in {EVERY, DEPLOYED}
    return Started(
        parent, parameters, whole, f"starting from {name} ({info.method.name}): {', '.join(taken)}; {by_name}"
    )


def start_statistics(start: Start, radiometry: Radiometry) -> BandStatistics | None:
    """How the model's network standardises radar images that were standardised by themselves, band by band.

    None where the data set's own statistics count: its images are standardised by them, or the model takes no radar.

    Raises:
        BundleError: The bundle is damaged.
        RadiometryError: It takes radar images that are standardised in another way.
    """
    if radiometry.sar.standardise is not Standardise.SCENE:
        return None
    bundle = load_bundle(start.bundle)
    if Modality.SAR not in bundle.info.inputs:
        return None
    require_same_standardise(bundle.info.radiometry.sar, radiometry.sar, bundle.name)
    theirs = bundle.info.statistics.sar
    chosen = _bands(bundle, radiometry)[0] or [band % len(theirs.mean) for band in range(len(radiometry.sar.bands))]
    mean, std = (tuple(values[band] for band in chosen) for values in (theirs.mean, theirs.std))
    return BandStatistics(mean=mean, std=std)


def _require_design(bundle: Bundle, spec: NetworkSpec) -> None:
    for name in DESIGN:
        theirs, ours = getattr(bundle.info.network, name), getattr(spec, name)
        if theirs != ours:
            raise BundleError(
                f"{bundle.path} has {name} {theirs}, this training {ours}: set the network section to what the bundle "
                "has, or start from another one."
            )


def _pairs(bundle: Bundle, method: Method, radiometry: Radiometry) -> list[Pair]:
    """The parts of the bundle that the method has, the largest that fit."""
    source, network, target = bundle.standardised_network, method.network, method.startable()
    if (
        bundle.method is not None
        and _same_design(bundle.method.network, network)
        and bundle.info.radiometry == radiometry
    ):
        return [(EVERY, bundle.method.network, network)]
    if _same_design(source, target) and bundle.info.inputs == method.deployed_inputs:
        return [(DEPLOYED, source, target)]
    if isinstance(source, SingleNetwork) and bundle.info.inputs == (Modality.OPTICAL,):
        if isinstance(network, CollaborativeNetwork):
            return [
                ("optical encoder and decoder", source.branch, network.optical),
                ("optical head", source.head, network.optical_head),
            ]
        if isinstance(network, TaughtNetwork) and isinstance(network.teacher, SingleNetwork):
            return [("optical teacher", source, network.teacher)]
    if isinstance(source, SingleNetwork) and bundle.info.inputs == (Modality.SAR,) and _is_twin(target):
        assert isinstance(target, HallucinationNetwork)
        return [
            ("encoder and decoder of the first stream", source.branch, target.first),
            ("encoder and decoder of the second stream", source.branch, target.second),
        ]
    raise BundleError(
        f"{bundle.path} (method {bundle.info.method.name!r}, {' and '.join(bundle.info.inputs)}) has no part that "
        f"method {method.name!r} could start from: choose a bundle of the same method, or of 'optical' or 'sar'."
    )


def _is_twin(module: nn.Module) -> bool:
    return isinstance(module, HallucinationNetwork)


def _same_design(source: nn.Module, target: nn.Module) -> bool:
    return type(source) is type(target) and source.state_dict().keys() == target.state_dict().keys()


def _bands(bundle: Bundle, radiometry: Radiometry) -> tuple[list[int] | None, str]:
    """For each band of the new images that of the bundle, None for in order; and the same in words."""
    theirs, ours = (_names(known, bundle.info.inputs) for known in (bundle.info.radiometry, radiometry))
    if theirs == ours or not set(ours) & set(theirs):
        rule = "same bands" if theirs == ours else _by_rule(ours, theirs)
        return None, rule
    chosen = [theirs.index(band) if band in theirs else at % len(theirs) for at, band in enumerate(ours)]
    strange = [band for band in ours if band not in theirs]
    named = f"bands {', '.join(band for band in ours if band in theirs)} by name"
    return chosen, f"{named}; {_by_rule(strange, theirs)}" if strange else named


def _by_rule(ours: Sequence[str], theirs: Sequence[str]) -> str:
    return f"bands {', '.join(ours)} take the weights of {', '.join(theirs)} in turn, since no name is the same"


def _names(radiometry: Radiometry, sensors: Iterable[Modality]) -> tuple[str, ...]:
    sensor = radiometry.sar if Modality.SAR in tuple(sensors) else radiometry.optical
    return () if sensor is None else sensor.bands
