"""`hallucination`: the scheme that CMH-CL improves on.

Hoffman, Gupta, Darrell, "Learning with side information through modality hallucination", CVPR 2016; for land cover with
a missing sensor Kampffmeyer, Salberg, Jenssen, "Urban land cover classification with missing data modalities using deep
convolutional neural networks", IEEE JSTARS 2018. The optical network (theirs: depth) is trained first; then, with
optical, hallucination and SAR networks side by side,

    L = gamma L_hall + L(z^O) + L(z^S) + L(z^H) + L(z^OS) + L(z^HS)              (Eq. 2)
    L_hall = || sigmoid(A^O) - sigmoid(A^H) ||^2                                 (Eq. 1)

A is the feature that the decoder receives as its deepest one (theirs: pool5), or the decoded one, or both. The squares
are summed over the channels and averaged over the places where both sensors have data; with gamma 1 the term is then
several times as large as the others, as the authors ask for.

Deviations: the networks and fusion heads are CMH-CL's without the shared block, so that what is deployed equals that of
`cmhcl` and `sar_twin`; L is L_seg with CMH-CL's auxiliary heads. The whole optical path is frozen after its stage
(theirs: up to layer A), by `schedule: joint` never. On pairs without labels, of which they have none, L_hall alone
counts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field
from torch import Tensor

from overcast.batch import Batch
from overcast.methods.base import both_valid
from overcast.methods.distances import hallucination_distance, places_of
from overcast.methods.stages import Position
from overcast.methods.teacher import TeacherOptions
from overcast.methods.three_branch import HeadWeights, JointBranchMethod
from overcast.models.blocks import STRIDE
from overcast.models.collaborative import CollaborativeOutput
from overcast.models.network import StreamFeatures
from overcast.models.spec import NetworkSpec, Sharing
from overcast.raster.radiometry import Statistics


class Features(StrEnum):
    """Which features are imitated."""

    DEEPEST = "deepest"
    """The deepest one that the decoder receives, at stride 32."""
    DECODED = "decoded"
    """F_de, what the decoder gives."""
    BOTH = "both"


class HallucinationOptions(TeacherOptions):
    """`hallucination`: the hallucination branch imitates sigmoid features of the frozen optical one."""

    name: Literal["hallucination"] = "hallucination"
    gamma: float = Field(default=1.0, ge=0)
    """Weight of the feature term."""
    features: Features = Features.DEEPEST
    """`deepest`, `decoded` or `both`."""
    weights: HeadWeights = HeadWeights(sar=1.0)
    """Weight of each head's segmentation loss."""


class Hallucination(JointBranchMethod):
    """Hoffman's loss on the three branches of CMH-CL, nothing shared."""

    def __init__(self, options: HallucinationOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, unshared(spec), statistics, options.stages, options.weights)
        self.options = options

    def _transfer(
        self,
        output: CollaborativeOutput,
        batch: Batch,
        position: Position,  # noqa: ARG002  # no schedule of its own
    ) -> dict[str, Tensor]:
        teacher, student = output.features_optical, output.features_hallucination
        distance = feature_distance(
            teacher, student, self.options.features, both_valid(batch), self.spec.decoded_stride
        )
        return {"hallucination": self.options.gamma * distance}


def unshared(spec: NetworkSpec) -> NetworkSpec:
    """`spec` with nothing shared between the encoders and a head on the SAR branch in training."""
    return spec.model_copy(update={"sharing": Sharing.NOTHING, "auxiliary_sar": True})


def feature_distance(
    teacher: StreamFeatures, student: StreamFeatures, features: Features, valid: Tensor | None, decoded_px: int
) -> Tensor:
    """L_hall of the chosen features, where `valid` (B, 1, H, W)."""
    pairs = {
        Features.DEEPEST: (teacher.deepest, student.deepest, STRIDE),
        Features.DECODED: (teacher.decoded, student.decoded, decoded_px),
    }
    chosen = list(pairs) if features is Features.BOTH else [features]
    terms = [hallucination_distance(t, s, places_of(valid, s, px)) for t, s, px in (pairs[name] for name in chosen)]
    return sum(terms[1:], terms[0])
