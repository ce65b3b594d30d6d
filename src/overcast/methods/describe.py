"""What a method trains and what it deploys, in numbers."""

from __future__ import annotations

from overcast.batch import Modality
from overcast.methods.base import Method
from overcast.models.cost import cost, leaf_multiply_adds, parameter_count
from overcast.models.network import Network, Part
from overcast.models.spec import NetworkSpec

Description = dict[str, object]
"""JSON-able."""


def describe(method: Method, size_px: int = 512) -> Description:
    """Branches, parameters and multiply-adds of what trains and of what is deployed.

    Args:
        method: Any method.
        size_px: Side of the square input that multiply-adds are counted for.
    """
    spec, network, deployable = method.spec, method.network, method.deployable()
    shapes = [(1, bands, size_px, size_px) for bands in network.input_bands]
    deployed_shapes = [(1, _bands(spec, modality), size_px, size_px) for modality in method.deployed_inputs]
    work = leaf_multiply_adds(network, shapes)
    deployed_tensors = {id(parameter) for parameter in deployable.parameters()}
    trained, deployed = cost(network, shapes), cost(deployable, deployed_shapes)
    return {
        "method": method.name,
        "network": spec.model_dump(mode="json"),
        "input_px": [size_px, size_px],
        "stages": [{"name": stage.name, "share_of_steps": round(stage.share, 6)} for stage in method.stages],
        "branches": [_describe_part(network, part, work, deployed_tensors) for part in network.parts()],
        "trained": {
            "inputs": sorted(modality.value for modality in method.needs),
            "parameters": trained.parameters,
            "multiply_adds": trained.multiply_adds,
        },
        "deployed": {
            "inputs": [modality.value for modality in method.deployed_inputs],
            "parameters": deployed.parameters,
            "multiply_adds": deployed.multiply_adds,
        },
    }


def _bands(spec: NetworkSpec, modality: Modality) -> int:
    return spec.sar_bands if modality is Modality.SAR else spec.optical_bands


def _describe_part(network: Network, part: Part, work: dict[str, int], deployed: set[int]) -> Description:
    inside = {id(module) for root in part.modules for module in root.modules()}
    names = [name for name, module in network.named_modules() if id(module) in inside]
    parameters = [parameter for root in part.modules for parameter in root.parameters()]
    return {
        "name": part.name,
        "parameters": sum(parameter_count(module) for module in part.modules),
        "multiply_adds": sum(work.get(name, 0) for name in names),
        "deployed": any(id(parameter) in deployed for parameter in parameters),
    }
