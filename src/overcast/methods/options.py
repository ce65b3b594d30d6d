"""Methods by name: the one place that builds them."""

from __future__ import annotations

from typing import Annotated, assert_never

from pydantic import Field
from torch import nn

from overcast.methods.base import Method
from overcast.methods.collaborative import CollaborativeLearning, CollaborativeOptions
from overcast.methods.disoptnet import Disoptnet, DisoptnetOptions
from overcast.methods.distillation import (
    CwdOptions,
    KdOptions,
    LogitDistillation,
    StudentKind,
)
from overcast.methods.garcia import Garcia, GarciaOptions
from overcast.methods.hallucination import Hallucination, HallucinationOptions
from overcast.methods.mmanet import Mmanet, MmanetOptions
from overcast.methods.modality_dropout import ModalityDropout, ModalityDropoutOptions
from overcast.methods.one_stream import OneStream, OneStreamOptions
from overcast.methods.optical_init import OpticalInit, OpticalInitOptions
from overcast.methods.self_training import SelfTraining, SelfTrainingOptions
from overcast.methods.shaspec import Shaspec, ShaspecOptions
from overcast.methods.supervised import (
    Fusion,
    FusionOptions,
    Optical,
    OpticalOptions,
    Sar,
    SarOptions,
    SarTwin,
    SarTwinOptions,
)
from overcast.methods.translation import Translation, TranslationOptions
from overcast.models.disopt import DisOptNetwork
from overcast.models.network import HallucinationNetwork, SingleNetwork, TwinNetwork
from overcast.models.optional import SarStreamNetwork
from overcast.models.shaspec import ShaSpecSarNetwork
from overcast.models.spec import NetworkSpec
from overcast.models.translation import translation_network
from overcast.raster.radiometry import Statistics

CmhclOptions = CollaborativeOptions

MethodOptions = Annotated[
    CmhclOptions
    | SarOptions
    | SarTwinOptions
    | OpticalOptions
    | FusionOptions
    | ModalityDropoutOptions
    | KdOptions
    | CwdOptions
    | HallucinationOptions
    | GarciaOptions
    | DisoptnetOptions
    | ShaspecOptions
    | MmanetOptions
    | TranslationOptions
    | SelfTrainingOptions
    | OpticalInitOptions
    | OneStreamOptions,
    Field(discriminator="name"),
]
"""Options of any method, distinguished by `name`."""


def build_method(  # noqa: PLR0911, PLR0912  # one line per method
    options: MethodOptions, spec: NetworkSpec, statistics: Statistics | None = None
) -> Method:
    """The method that `options` name.

    Args:
        options: Of one method.
        spec: Architecture, the same for all methods that are compared.
        statistics: Of the training set; needed to evaluate with the optical image zeroed.
    """
    match options:
        case CollaborativeOptions():
            return CollaborativeLearning(options, spec, statistics)
        case SarOptions():
            return Sar(options, spec, statistics)
        case SarTwinOptions():
            return SarTwin(options, spec, statistics)
        case OpticalOptions():
            return Optical(options, spec, statistics)
        case FusionOptions():
            return Fusion(options, spec, statistics)
        case ModalityDropoutOptions():
            return ModalityDropout(options, spec, statistics)
        case KdOptions() | CwdOptions():
            return LogitDistillation(options, spec, statistics)
        case HallucinationOptions():
            return Hallucination(options, spec, statistics)
        case GarciaOptions():
            return Garcia(options, spec, statistics)
        case DisoptnetOptions():
            return Disoptnet(options, spec, statistics)
        case ShaspecOptions():
            return Shaspec(options, spec, statistics)
        case MmanetOptions():
            return Mmanet(options, spec, statistics)
        case TranslationOptions():
            return Translation(options, spec, statistics)
        case SelfTrainingOptions():
            return SelfTraining(options, spec, statistics)
        case OpticalInitOptions():
            return OpticalInit(options, spec, statistics)
        case OneStreamOptions():
            return OneStream(options, spec, statistics)
        case _:
            assert_never(options)


def bundled_options(options: MethodOptions) -> MethodOptions:
    """The method that a bundle names: what was distilled into one stream is an ordinary `sar`, whoever taught it."""
    return SarOptions() if isinstance(options, OneStreamOptions) else options


def build_deployable(options: MethodOptions, spec: NetworkSpec) -> nn.Module:  # noqa: PLR0911, PLR0912  # one per network
    """The module, without weights, that a deployable of this method loads into; no training network is built."""
    spec = spec.untrained()
    match options:
        case SarOptions() | OneStreamOptions():
            return SingleNetwork(spec, spec.sar_bands)
        case KdOptions(student=StudentKind.SINGLE) | CwdOptions(student=StudentKind.SINGLE):
            return SingleNetwork(spec, spec.sar_bands)
        case SelfTrainingOptions(student=StudentKind.SINGLE) | OpticalInitOptions(student=StudentKind.SINGLE):
            return SingleNetwork(spec, spec.sar_bands)
        case CollaborativeOptions() | HallucinationOptions() | GarciaOptions():
            return HallucinationNetwork(spec)
        case SelfTrainingOptions() | OpticalInitOptions():
            return HallucinationNetwork(spec)
        case SarTwinOptions() | KdOptions() | CwdOptions() | MmanetOptions():
            return HallucinationNetwork(spec)
        case ModalityDropoutOptions():
            return SarStreamNetwork(spec)
        case DisoptnetOptions():
            return DisOptNetwork(spec)
        case ShaspecOptions():
            return ShaSpecSarNetwork(spec)
        case TranslationOptions():
            return translation_network(spec)
        case OpticalOptions():
            return SingleNetwork(spec, spec.optical_bands)
        case FusionOptions():
            return TwinNetwork(spec, spec.optical_bands, spec.sar_bands)
        case _:
            assert_never(options)
