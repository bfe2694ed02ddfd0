"""Check that an ONNX file is a network that our exporter or quantiser could have written.

Engines trust a graph: a malformed one can crash the process, read other files, or never return.
Therefore the graph is followed from its input to its output before any engine sees it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from pplcnet.runtime.checks.onnx_reading import (
    FLOAT,
    UINT8,
    Described,
    Network,
    Node,
    Tensor,
    read_onnx,
)
from pplcnet.runtime.checks.onnx_shapes import MAX_RANK, OPERATORS
from pplcnet.system.protobuf import ProtobufError

__all__ = ["check_onnx"]

MAX_BATCH = 4096
MAX_OUTPUTS = 16
MAX_SIDE = 4096
# The widest layer in the catalog (MobileNetV2 x2.0) has 50 numbers per image pixel;
# the free ones are for small images, which have as many channels in the last layers.
NUMBERS_PER_PIXEL = 96
FREE_NUMBERS = 1 << 20
# Total of all tensors needed at the same time.
LIVE_PER_PIXEL = 320
FREE_LIVE = 1 << 22
MOST_LIVE = 1 << 28
"""1 GiB of float32; enough for every catalog network at 1300x1300 pixels."""
# The largest catalog network does 0.1 million multiplications per pixel.
WORK_PER_PIXEL = 1 << 19
FREE_WORK = 1 << 31


def check_onnx(
    content: bytes,
    image_size: tuple[int, int] | None = None,
    outputs: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Raise ProtobufError, with the reason, for a network of another kind or size.

    Args:
        image_size: required (height, width); None for any.
        outputs: required outputs, name to shape for one image; None for any.
    """
    network = read_onnx(content)
    shape, results = _contract(network)
    _check_sizes(shape[1:3], results, image_size, outputs)
    known = dict(network.constants)
    if "images" in known:
        raise ProtobufError("a constant in place of the input")
    known["images"] = Tensor(UINT8, shape)
    pixels = shape[0] * shape[1] * shape[2]
    last_use = {name: at for at, node in enumerate(network.nodes) for name in node.inputs}
    last_use |= dict.fromkeys(results, len(network.nodes))
    most_live = min(LIVE_PER_PIXEL * pixels + FREE_LIVE * shape[0], MOST_LIVE)
    work, live = 0, 3 * pixels
    for at, node in enumerate(network.nodes):
        made, cost = _apply(node, known)
        work += cost
        for name, tensor in zip(node.outputs, made, strict=True):
            if not name or name in known:
                raise ProtobufError(f"the tensor {name!r} is made twice")
            _check_tensor(name, tensor, shape[0], pixels)
            known[name] = tensor
            live += _numbers(tensor)
        if live > most_live:
            raise ProtobufError(f"it needs {live:,} numbers at the same time for {pixels:,} pixels")
        live -= sum(_numbers(known[name]) for name in {*node.inputs} if last_use[name] == at)
        live -= sum(_numbers(known[name]) for name in node.outputs if name not in last_use)
    if work > WORK_PER_PIXEL * pixels + FREE_WORK * shape[0]:
        raise ProtobufError(f"it multiplies {work:,} times for {pixels:,} pixels")
    made_outputs = {name: known[name][:2] for name in results if name in known}
    if made_outputs != {name: (FLOAT, (shape[0], *each)) for name, each in results.items()}:
        raise ProtobufError(f"its operators do not end in {_described(results)}")
    _check_descriptions(network, known)


def _check_sizes(
    size: tuple[int, int],
    results: Mapping[str, tuple[int, ...]],
    image_size: tuple[int, int] | None,
    outputs: Mapping[str, tuple[int, ...]] | None,
) -> None:
    if image_size is not None and size != image_size:
        raise ProtobufError(
            f"it takes images of {size[0]}x{size[1]}; the manifest says "
            f"{image_size[0]}x{image_size[1]}"
        )
    # A network with one output may call it anything: the runtime uses the manifest's name.
    is_same = outputs is None or results == outputs
    if outputs is not None and len(results) == len(outputs) == 1:
        is_same = list(results.values()) == list(outputs.values())
    if outputs is not None and not is_same:
        same = results.items() & outputs.items()
        # If both have extra outputs, naming the differences is enough.
        made, said = (
            {name: each for name, each in some.items() if (name, each) not in same} or some
            for some in (results, outputs)
        )
        raise ProtobufError(
            f"its outputs are {_described(made)}; the manifest says {_described(said)}"
        )


def _contract(
    network: Network,
) -> tuple[tuple[int, int, int, int], dict[str, tuple[int, ...]]]:
    """The input's shape, with a batch of one if it is free, and every output's for one image."""
    if list(network.inputs) != ["images"]:
        raise ProtobufError("its input is not 'images'")
    if not 1 <= len(network.outputs) <= MAX_OUTPUTS:
        raise ProtobufError(f"it has {len(network.outputs)} outputs")
    dtype, shape = network.inputs["images"]
    if dtype != UINT8 or len(shape) != 4 or shape[3] != 3:
        raise ProtobufError("it does not take uint8 RGB")
    batch, height, width = shape[0] or 1, shape[1], shape[2]
    if shape[0] == 0 or not height or not width:
        raise ProtobufError(f"its input is of shape {shape}")
    if not (1 <= batch <= MAX_BATCH and 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise ProtobufError(f"its input is of shape {shape}")
    results = {name: _shape_of(name, each, shape[0]) for name, each in network.outputs.items()}
    return (batch, height, width, 3), results


def _shape_of(name: str, output: Described, batch: int | None) -> tuple[int, ...]:
    """An output's shape for one image."""
    dtype, shape = output
    if dtype != FLOAT:
        raise ProtobufError(f"its output {name!r} is not float32")
    rest = tuple(each for each in shape[1:] if each is not None and each >= 1)
    if len(shape) < 2 or shape[0] != batch or len(rest) != len(shape) - 1:
        raise ProtobufError(f"its output {name!r} is of shape {shape}")
    return rest


def _described(outputs: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name[:40]!r} {shape}" for name, shape in outputs.items())


def _apply(node: Node, known: dict[str, Tensor]) -> tuple[list[Tensor], int]:
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise ProtobufError(f"the operator {node.operator!r}, which the exporter never writes")
    inputs_taken, outputs_made, attributes, rule = operator
    if len(node.inputs) not in inputs_taken or len(node.outputs) != outputs_made:
        raise ProtobufError(
            f"the operator {node.operator} with {len(node.inputs)} inputs and "
            f"{len(node.outputs)} outputs"
        )
    for name, value in node.attributes.items():
        if not isinstance(value, attributes.get(name, ())):
            raise ProtobufError(f"the operator {node.operator} with the attribute {name!r}")
    inputs = [known.get(name) for name in node.inputs]
    if None in inputs:
        missing = node.inputs[inputs.index(None)]
        raise ProtobufError(f"the operator {node.operator} uses {missing!r} before it is made")
    return rule(node, [each for each in inputs if each is not None])


def _check_tensor(name: str, tensor: Tensor, batch: int, pixels: int) -> None:
    numbers = math.prod(tensor.shape)
    if len(tensor.shape) > MAX_RANK or min(tensor.shape, default=1) < 1:
        raise ProtobufError(f"the tensor {name!r} of shape {tensor.shape}")
    if tensor.is_constant:
        return  # no larger than its inputs
    if numbers > max(NUMBERS_PER_PIXEL * pixels, FREE_NUMBERS * batch):
        raise ProtobufError(f"the tensor {name!r} of shape {tensor.shape} for {pixels:,} pixels")


def _numbers(tensor: Tensor) -> int:
    return 0 if tensor.is_constant else math.prod(tensor.shape)


def _check_descriptions(network: Network, known: dict[str, Tensor]) -> None:
    """Check that the file's descriptions of intermediate tensors are correct."""
    any_batch = network.inputs["images"][1][0] is None
    for name, (dtype, shape) in network.inner.items():
        tensor = known.get(name)
        if tensor is None:
            raise ProtobufError(f"a description of {name!r}, which nothing makes")
        fits = len(shape) == len(tensor.shape) and all(
            said == size or (said is None and any_batch and at == 0)
            for at, (said, size) in enumerate(zip(shape, tensor.shape, strict=True))
        )
        if dtype != tensor.dtype or not fits:
            raise ProtobufError(f"a description of {name!r} that is not its shape {tensor.shape}")
