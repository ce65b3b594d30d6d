"""Parameters and multiply-adds against hand-worked values."""

import json
from typing import Any

import pytest
import torch
from method_cases import LITERATURE, SPEC
from torch import nn

from overcast.methods.describe import describe
from overcast.methods.options import CmhclOptions, build_method
from overcast.methods.supervised import FusionOptions, OpticalOptions, SarOptions, SarTwinOptions
from overcast.models.cost import Cost, cost, peak_bytes

pytestmark = pytest.mark.usefixtures("one_thread")

EVERY_METHOD = [
    CmhclOptions(auxiliary_sar=True),
    SarOptions(),
    SarTwinOptions(),
    OpticalOptions(),
    FusionOptions(),
    *LITERATURE,
]
TWICE = {  # what serves both sensors in training
    "cmhcl": {"residual block"},
    "shaspec": {"shared encoder", "composition"},
}


def test_convolutions_by_hand():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 5, padding=2, groups=8))
    first, second = 8 * 3 * 9 * 16 * 16, 8 * 25 * 16 * 16
    parameters = 8 * 3 * 9 + 8 + 8 * 25 + 8
    assert cost(network, [(1, 3, 32, 32)]) == Cost(parameters, first + second)


def test_peak_memory_by_hand():
    """Weights and the caller's image are always there; at the second of three convolutions its input and output too."""
    layers = nn.Conv2d(1, 4, 1, bias=False), nn.Conv2d(4, 8, 1, bias=False), nn.Conv2d(8, 1, 1, bias=False)
    weights, features = 4 + 32 + 8, (1 + 4 + 8) * 16 * 16
    assert peak_bytes(nn.Sequential(*layers), [(1, 1, 16, 16)]) == 4 * (weights + features)
    weights, features = 4 + 32 + 32, (1 + 4 + 8 + 4) * 16 * 16
    assert peak_bytes(Skip(), [(1, 1, 16, 16)]) == 4 * (weights + features)


class Skip(nn.Module):
    """A feature of 4 channels waits until 8 channels have become 4 again."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wide, self.back = (nn.Conv2d(a, b, 1, bias=False) for a, b in ((1, 4), (4, 8), (8, 4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.first(x)
        return self.back(self.wide(first)).add_(first)


def test_operators_in_place_take_no_memory():
    plain = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False))
    activated = nn.Sequential(*plain, nn.ReLU(inplace=True))
    assert peak_bytes(plain, [(1, 1, 8, 8)]) == peak_bytes(activated, [(1, 1, 8, 8)])
    assert peak_bytes(nn.Sequential(*plain, nn.ReLU()), [(1, 1, 8, 8)]) == 4 * (4 + (1 + 4 + 4) * 64)


def test_a_module_used_twice_weighs_once_and_works_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.conv(x))

    assert cost(Twice(), [(1, 4, 8, 8)]) == Cost(16, 2 * 16 * 64)


def test_counting_leaves_the_network_alone():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cost(network, [(2, 1, 16, 16)])
    assert network.training
    assert all(before[name].equal(tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("options", EVERY_METHOD, ids=lambda options: options.name)
def test_the_parts_of_a_description_add_up(options):
    method = build_method(options, SPEC)
    description = json.loads(json.dumps(describe(method, size_px=64)))
    branches = description["branches"]
    deployed = [branch for branch in branches if branch["deployed"]]
    for key in ("parameters", "multiply_adds"):
        assert sum(branch[key] for branch in branches) == description["trained"][key]
    assert sum(branch["parameters"] for branch in deployed) == description["deployed"]["parameters"]
    twice = TWICE.get(options.name, set())
    once = sum(branch["multiply_adds"] // (1 + (branch["name"] in twice)) for branch in deployed)
    if options.name != "self_training":  # its averaged network answers beside the forward pass that is counted
        assert once == description["deployed"]["multiply_adds"]
    assert description["deployed"]["parameters"] == sum(p.numel() for p in method.deployable().parameters())
    assert description["method"] == options.name
    assert sum(stage["share_of_steps"] for stage in description["stages"]) == pytest.approx(1)
    assert description["network"]["encoder"] == SPEC.encoder


def test_cmhcl_and_its_control_deploy_at_one_cost():
    found = [describe(build_method(options, SPEC))["deployed"] for options in (CmhclOptions(), SarTwinOptions())]
    assert found[0] == found[1]


def test_the_description_names_the_branches_and_what_is_deployed():
    branches: Any = describe(build_method(CmhclOptions(), SPEC), size_px=64)["branches"]
    assert {branch["name"]: branch["deployed"] for branch in branches} == {
        "optical branch": False,
        "hallucination branch": True,
        "SAR branch": True,
        "residual block": True,
        "OPT-SAR fusion head": False,
        "HAL-SAR fusion head": True,
        "auxiliary heads": False,
    }
