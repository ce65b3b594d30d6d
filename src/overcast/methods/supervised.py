"""The controls: each sensor alone, two SAR streams, and both sensors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from overcast.batch import Batch, InputModalities, Modality
from overcast.methods.base import Method, SarMethod, both_valid
from overcast.methods.losses import TargetWeights, segmentation_loss, share_loss
from overcast.models.network import (
    HallucinationNetwork,
    SingleNetwork,
    SupervisedTwinNetwork,
    TwinNetwork,
    TwinOutput,
    with_shared_tensors,
)
from overcast.models.spec import NetworkSpec
from overcast.raster.radiometry import Statistics
from overcast.section import Section


class SarOptions(Section):
    """`sar`, the lower bound: one encoder-decoder on SAR."""

    name: Literal["sar"] = "sar"


class OpticalOptions(Section):
    """`optical`, the ceiling of one sensor: one encoder-decoder on the optical image."""

    name: Literal["optical"] = "optical"


class TwinOptions(Section):
    """Weights of the auxiliary heads, which CMH-CL's streams have too: a control without them would be weaker."""

    weight_first: float = Field(default=1.0, ge=0)
    """Weight of the head on the first stream, as of CMH-CL's z^H (z^O)."""
    weight_share: float = Field(default=0.5, ge=0)
    """Weight of the head at stride 32, as of CMH-CL's z_share."""


class SarTwinOptions(TwinOptions):
    """`sar_twin`, the capacity-matched control: CMH-CL's deployed network trained on SAR without any optical image."""

    name: Literal["sar_twin"] = "sar_twin"


class FusionOptions(TwinOptions):
    """`fusion`, the upper bound: optical and SAR in training and at inference."""

    name: Literal["fusion"] = "fusion"
    learn_gaps: bool = False
    """Supervise the fused logits also where the optical image has a gap; see `augmentation.cloud_share`."""


class SingleSensor(Method):
    """One encoder-decoder on one sensor."""

    network: SingleNetwork

    def __init__(self, name: str, spec: NetworkSpec, modality: Modality, statistics: Statistics | None) -> None:
        bands = spec.sar_bands if modality is Modality.SAR else spec.optical_bands
        super().__init__(name, spec, SingleNetwork(spec, bands), statistics)
        self.modality = modality

    @property
    def needs(self) -> frozenset[Modality]:
        """Its sensor."""
        return frozenset({self.modality})

    @property
    def available(self) -> frozenset[InputModalities]:
        """Its sensor."""
        return frozenset({InputModalities(self.modality.value)})

    @property
    def deployed_inputs(self) -> tuple[Modality, ...]:
        """Its sensor."""
        return (self.modality,)

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule
        """L_seg where the sensor has data."""
        logits = self._logits(batch, InputModalities(self.modality.value))
        valid = batch.sar_valid if self.modality is Modality.SAR else batch.optical_valid
        return {"seg": self._seg(logits, self._label(batch), valid)}

    def deployable(self) -> nn.Module:
        """The network itself."""
        return with_shared_tensors(self.network)

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:  # noqa: ARG002  # one choice
        logits: Tensor = self.network(batch.require("sar" if self.modality is Modality.SAR else "optical"))
        return logits


class Sar(SingleSensor):
    """`sar`: L_seg(z^S, y)."""

    def __init__(self, options: SarOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, Modality.SAR, statistics)


class Optical(SingleSensor):
    """`optical`: L_seg(z^O, y)."""

    def __init__(self, options: OpticalOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, Modality.OPTICAL, statistics)


class SarTwin(SarMethod):
    """`sar_twin`: the deployed network of CMH-CL with its heads and their weights, but no optical and no alignment."""

    network: SupervisedTwinNetwork

    def __init__(self, options: SarTwinOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, SupervisedTwinNetwork(spec, HallucinationNetwork(spec)), statistics)
        self.options = options

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule
        """L_seg of the fused logits and of both auxiliary heads, where SAR has data."""
        output = self.network(batch.require("sar"))
        valid = (batch.sar_valid, batch.sar_valid)
        return twin_losses(output, self._label(batch), valid, self.options, self.target_weights)

    def deployable(self) -> nn.Module:
        """The twin network without its auxiliary heads."""
        return with_shared_tensors(self.network.twin)

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:  # noqa: ARG002  # one choice
        logits: Tensor = self.network.twin(batch.require("sar"))
        return logits


class Fusion(Method):
    """`fusion`: optical and SAR streams and a fusion head; also evaluated with the optical image zeroed or averaged."""

    network: SupervisedTwinNetwork

    def __init__(self, options: FusionOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        network = SupervisedTwinNetwork(spec, TwinNetwork(spec, spec.optical_bands, spec.sar_bands))
        super().__init__(options.name, spec, network, statistics)
        self.options = options

    @property
    def available(self) -> frozenset[InputModalities]:
        """Both sensors, and both with the optical image replaced."""
        return frozenset({InputModalities.BOTH, InputModalities.BOTH_OPTICAL_ZERO, InputModalities.BOTH_OPTICAL_MEAN})

    @property
    def deployed_inputs(self) -> tuple[Modality, ...]:
        """Optical, then SAR."""
        return (Modality.OPTICAL, Modality.SAR)

    def losses(self, batch: Batch, step: int, steps: int) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule
        """L_seg of the fused logits where both have data, of the auxiliary ones where the optical image has."""
        output = self.network(batch.require("optical"), batch.require("sar"))
        fused = batch.sar_valid if self.options.learn_gaps else both_valid(batch)
        valid = (fused, batch.optical_valid)
        return twin_losses(output, self._label(batch), valid, self.options, self.target_weights)

    def deployable(self) -> nn.Module:
        """The twin network without its auxiliary heads: it takes the optical image, then SAR."""
        return with_shared_tensors(self.network.twin)

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:
        logits: Tensor = self.network.twin(self._optical(batch, available), batch.require("sar"))
        return logits


def twin_losses(
    output: TwinOutput,
    label: Tensor,
    valid: tuple[Tensor | None, Tensor | None],
    options: TwinOptions,
    targets: TargetWeights,
) -> dict[str, Tensor]:
    """Losses of the fused logits on the first mask and of the auxiliary ones on the second."""
    fused, first = valid
    return {
        "seg_fused": segmentation_loss(output.fused, label, fused, targets),
        "seg_first": options.weight_first * segmentation_loss(output.first, label, first, targets),
        "seg_share": options.weight_share * share_loss(output.share, label, first, targets),
    }
