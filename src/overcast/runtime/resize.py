"""An exported network for another tile size, in a moment: the export itself takes ten seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from overcast.models.blocks import STRIDE
from overcast.runtime.options import TileShape

MASTER_SIDES = (3 * STRIDE, 4 * STRIDE)
"""Height and width of the export that others are made from."""
_POINTWISE = {"Add", "Clip", "Concat", "Div", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Sub"}
_WINDOWS = {"AveragePool", "MaxPool"}
_SIZE_FREE = frozenset({"Conv", "DepthToSpace", "GlobalAveragePool", "ReduceMean", *_POINTWISE, *_WINDOWS})
"""Operations that mean the same for every size: their padding is that of the stride, not of the tile, as long as sides
are multiples of the deepest stride."""


def master_shape(shape: TileShape) -> TileShape | None:
    """Shape of the export from which that of `shape` can be made; None where the stride does not divide its sides."""
    if shape.height % STRIDE or shape.width % STRIDE:
        return None
    return TileShape(1, shape.bands, *MASTER_SIDES)


def resized(master: onnx.ModelProto, shape: TileShape) -> onnx.ModelProto | None:
    """The network for tiles of another shape; None where it holds anything that could depend on the size.

    Enlargements to a fixed size become enlargements by a factor; everything else stays. Sides are multiples of the
    deepest stride. The sample of results that the export carries no longer holds and is taken out.
    """
    model = onnx.ModelProto()
    model.CopyFrom(master)
    known = _static_shapes(model)
    images = (*model.graph.input, *model.graph.output)
    if any(len(known[value.name]) != 4 for value in images):
        return None
    if not all(_adapt(node, model, known) for node in model.graph.node):
        return None
    factors = [shape.height / MASTER_SIDES[0], shape.width / MASTER_SIDES[1]]
    for value in images:
        for dimension, factor in zip(value.type.tensor_type.shape.dim[2:], factors, strict=True):
            dimension.dim_value = round(dimension.dim_value * factor)
    used = {name for node in model.graph.node for name in node.input}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    return model


def _adapt(node: onnx.NodeProto, model: onnx.ModelProto, known: dict[str, tuple[int, ...]]) -> bool:
    """Make a node independent of the size; False where that cannot be done."""
    if node.op_type in _WINDOWS and known.get(node.output[0], ())[2:] in ((), (1, 1)):
        return False  # one window for the whole image
    if node.op_type in _SIZE_FREE:
        return _takes_no_image(node, model)
    if node.op_type != "Resize" or any(attribute.name == "axes" for attribute in node.attribute):
        return False
    before, after = known.get(node.input[0], (0,)), known.get(node.output[0], (0,))
    if 0 in before + after or 1 in before[2:] or any(b % a for a, b in zip(before, after, strict=True)):
        return False  # not known, or one value for the whole image, or no whole factor
    name = f"{node.name or node.output[0]}_factors"
    factors = np.array([large // small for small, large in zip(before, after, strict=True)], np.float32)
    model.graph.initializer.append(numpy_helper.from_array(factors, name))
    image = node.input[0]
    del node.input[:]
    node.input.extend([image, "", name])
    return True


def _takes_no_image(node: onnx.NodeProto, model: onnx.ModelProto) -> bool:
    """True where no constant among the inputs is as large as an image (weights of convolutions are not meant)."""
    if node.op_type == "Conv":
        return True
    names = set(node.input)
    return all(max((1, *tensor.dims[2:])) == 1 for tensor in model.graph.initializer if tensor.name in names)


def _static_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    def named() -> Iterator[Any]:
        graph = onnx.shape_inference.infer_shapes(model).graph
        yield from (*graph.value_info, *graph.input, *graph.output)

    return {value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in named()}
