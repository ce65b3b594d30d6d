"""Methods by name: the one place that builds them."""

from __future__ import annotations

from typing import Annotated, assert_never

from pydantic import Field
from torch import nn

from overcast.data.radiometry import Statistics
from overcast.methods.base import Method
from overcast.methods.collaborative import CollaborativeLearning, CollaborativeOptions
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
from overcast.models.network import HallucinationNetwork, SingleNetwork, TwinNetwork
from overcast.models.spec import NetworkSpec

CmhclOptions = CollaborativeOptions

MethodOptions = Annotated[
    CmhclOptions | SarOptions | SarTwinOptions | OpticalOptions | FusionOptions, Field(discriminator="name")
]
"""Options of any method, told apart by `name`."""


def build_method(options: MethodOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> Method:
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
        case _:
            assert_never(options)


def build_deployable(options: MethodOptions, spec: NetworkSpec) -> nn.Module:
    """The module, without weights, that a deployable of this method loads into; no training network is built."""
    spec = spec.untrained()
    match options:
        case CollaborativeOptions() | SarTwinOptions():
            return HallucinationNetwork(spec)
        case SarOptions():
            return SingleNetwork(spec, spec.sar_bands)
        case OpticalOptions():
            return SingleNetwork(spec, spec.optical_bands)
        case FusionOptions():
            return TwinNetwork(spec, spec.optical_bands, spec.sar_bands)
        case _:
            assert_never(options)
