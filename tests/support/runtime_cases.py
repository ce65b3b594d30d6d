"""Tiny networks for the tests of runtimes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from method_cases import SPEC
from torch import Tensor, nn

from overcast.methods.collaborative import CollaborativeOptions
from overcast.methods.disoptnet import DisoptnetOptions
from overcast.methods.modality_dropout import ModalityDropoutOptions
from overcast.methods.options import MethodOptions, build_deployable
from overcast.methods.shaspec import ShaspecOptions
from overcast.methods.supervised import SarOptions
from overcast.methods.translation import TranslationOptions
from overcast.models.spec import NetworkSpec

KINDS: dict[str, MethodOptions] = {
    "SingleNetwork": SarOptions(),
    "HallucinationNetwork": CollaborativeOptions(),
    "DisOptNetwork": DisoptnetOptions(),
    "ShaSpecSarNetwork": ShaspecOptions(),
    "SarStreamNetwork": ModalityDropoutOptions(),
    "TranslationNetwork": TranslationOptions(),
}
"""A method that deploys each kind of network."""


def deployable(kind: str, spec: NetworkSpec = SPEC) -> nn.Module:
    """A network for two bands whose batch normalisation does something, as after training."""
    torch.manual_seed(0)
    network = build_deployable(KINDS[kind], spec).eval()
    assert type(network).__name__ == kind
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, std=0.2)
            assert part.running_mean is not None
            part.running_mean.normal_(0, 0.2)
            assert part.running_var is not None
            part.running_var.uniform_(0.5, 2)
    return network


def edges(seed: int = 0) -> nn.Conv2d:
    """One convolution over two bands: exported in a moment."""
    torch.manual_seed(seed)
    return nn.Conv2d(2, 1, 3, padding=1).eval()


class Funnel(nn.Module):
    """Halves its input, doubles it again to the input's size and joins the two, like a decoder with a skip."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.down, self.up = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = F.interpolate(self.down(x).relu(), size=x.shape[-2:], mode="nearest")
        return self.up(torch.cat([x, enlarged], dim=1))


class Moody(nn.Module):
    """Decides by the sum of its input what to do, which no exporter can follow."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] if x.sum() > 0 else x[:, 1:]
