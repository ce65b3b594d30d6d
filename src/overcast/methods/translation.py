"""`translation`: generate the optical image from SAR, then fuse it with SAR.

Bischke, Helber, Koenig, Borth, Dengel, "Overcoming missing and incomplete modalities with generative adversarial
networks for building footprint segmentation", CBMI 2018: a conditional GAN generates the missing sensor, a fusion
network segments what is there and what was generated. Generator and discriminator follow pix2pix (Isola et al., CVPR
2017, Eqs. 1 to 4):

    L_D = 1/2 [BCE(D(x_S, x_O), 1) + BCE(D(x_S, G(x_S)), 0)]
    L_G = weight_adversarial BCE(D(x_S, G(x_S)), 1) + weight_l1 | x_O - G(x_S) |

In the first `generator_share` of the steps they learn; then G is frozen and the network of `fusion` learns from G(x_S)
and x_S by L_seg with its auxiliary heads.

Deviations: G is the family's encoder-decoder without noise; instance normalisation in D, whose patches have stride 8;
losses count where both sensors have data. The fusion network sees generated images alone, so that test images look to
it as training images did.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from overcast.batch import Batch, Holds, InputModalities
from overcast.methods.base import both_valid
from overcast.methods.distances import mean_of, places_of
from overcast.methods.stages import Position, TrainingStage
from overcast.methods.supervised import TwinOptions, twin_losses
from overcast.methods.teacher import TaughtMethod
from overcast.models.network import with_shared_tensors
from overcast.models.spec import NetworkSpec
from overcast.models.translation import PATCH_PX, TranslationTraining
from overcast.raster.radiometry import Statistics


class TranslationOptions(TwinOptions):
    """`translation`: the generative route."""

    name: Literal["translation"] = "translation"
    weight_l1: float = Field(default=100.0, ge=0)
    """Weight of the absolute difference between generated and real image."""
    weight_adversarial: float = Field(default=1.0, ge=0)
    """Weight of the generator's adversarial term; 0 trains it by the difference alone."""
    generator_share: float = Field(default=0.4, gt=0, lt=1)
    """Share of the steps that belong to the generator."""

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """Generator, then fusion."""
        return TrainingStage("generator", self.generator_share), TrainingStage("fusion", 1 - self.generator_share)


class Translation(TaughtMethod):
    """SAR to pseudo-optical, both to footprints."""

    network: TranslationTraining

    def __init__(self, options: TranslationOptions, spec: NetworkSpec, statistics: Statistics | None = None) -> None:
        super().__init__(options.name, spec, TranslationTraining(spec), statistics, options.stages)
        self.options = options

    def uses(self, holds: Holds, stage: TrainingStage) -> bool:
        """Pairs; the generator needs no labels."""
        return self.needs <= holds.sensors and (holds.labelled or stage == self.stages[0])

    def teacher(self) -> tuple[nn.Module, ...]:
        """The generator and its discriminator."""
        return self.network.generator, self.network.discriminator

    def deployable(self) -> nn.Module:
        """The generator and the fusion network behind it."""
        return with_shared_tensors(self.network.deployable())

    def _logits(self, batch: Batch, available: InputModalities) -> Tensor:  # noqa: ARG002  # one choice
        sar = batch.require("sar")
        logits: Tensor = self.network.supervised.twin(self.network.generator(sar), sar)
        return logits

    def _losses(self, batch: Batch, position: Position) -> dict[str, Tensor]:  # noqa: ARG002  # no schedule of its own
        sar = batch.require("sar")
        output = self.network.supervised(self.network.generator(sar), sar)
        valid = (batch.sar_valid, batch.sar_valid)
        return twin_losses(output, self._label(batch), valid, self.options, self.target_weights)

    def _teacher_losses(self, batch: Batch) -> dict[str, Tensor]:
        sar, optical, options = batch.require("sar"), batch.require("optical"), self.options
        generated = self.network.generator(sar)
        valid = both_valid(batch)
        difference = (generated.float() - optical.float()).abs().mean(1, keepdim=True)
        losses = {"generator_l1": options.weight_l1 * mean_of(difference, valid)}
        if options.weight_adversarial == 0:
            return losses
        critic = self.network.discriminator
        still = {name: parameter.detach() for name, parameter in critic.named_parameters()}
        fooled = _belongs(functional_call(critic, still, (sar, generated)), valid)
        real, fake = _belongs(critic(sar, optical), valid), _belongs(-critic(sar, generated.detach()), valid)
        return losses | {
            "generator_adversarial": options.weight_adversarial * fooled,
            "discriminator": (real + fake) / 2,
        }


def _belongs(logits: Tensor, valid: Tensor | None) -> Tensor:
    """Cross entropy of patch logits (B, 1, h, w) with 1, where `valid` (B, 1, H, W)."""
    return mean_of(F.softplus(-logits.float()), places_of(valid, logits, PATCH_PX))
