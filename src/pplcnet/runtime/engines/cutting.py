"""Cut an exported ONNX file down to the requested outputs."""

from __future__ import annotations

from collections.abc import Collection

from pplcnet.system.protobuf import BYTES, Buffer, encoded, fields

__all__ = ["cut_network"]

# Fields of ONNX messages.
GRAPH = 7
NODE, CONSTANT, OUTPUT = 1, 5, 12
NODE_INPUT, NODE_OUTPUT = 1, 2
OUTPUT_NAME, CONSTANT_NAME = 1, 8


def cut_network(content: bytes, outputs: Collection[str]) -> bytes:
    """The file with only these outputs and what they depend on.

    An engine computes every output of a file, even unused ones.

    Args:
        content: an ONNX file that passed `runtime.checks`: its operators are in order and contain
            no graphs.
        outputs: names of outputs. The file is returned unchanged if it has no others, or lacks one:
            a file with a single output may call it anything.

    Raises:
        ProtobufError: the file is damaged.
    """
    model = list(fields(memoryview(content)))
    graph = next((value for number, _, value in model if number == GRAPH), b"")
    parts = list(fields(graph)) if not isinstance(graph, int) else []
    made = {_names(value, OUTPUT_NAME)[0] for number, _, value in parts if number == OUTPUT}
    wanted = set(outputs)
    if not wanted < made:
        return content
    kept: list[tuple[int, int, int | Buffer]] = []
    needed = set(wanted)
    # From the last operator to the first, so that the users of a value are visited before the
    # operator that computes it.
    for number, kind, value in reversed(parts):
        if number == NODE:
            if needed.isdisjoint(_names(value, NODE_OUTPUT)):
                continue
            needed.update(_names(value, NODE_INPUT))
        kept.append((number, kind, value))
    kept.reverse()
    named = {OUTPUT: (OUTPUT_NAME, wanted), CONSTANT: (CONSTANT_NAME, needed)}
    graph = encoded(
        part
        for part in kept
        if part[0] not in named or _names(part[2], named[part[0]][0])[0] in named[part[0]][1]
    )
    return encoded(
        (number, kind, graph if number == GRAPH else value) for number, kind, value in model
    )


def _names(message: int | Buffer, field: int) -> list[str]:
    """The strings in a field of a message."""
    if isinstance(message, int):
        return [""]
    found = [
        str(value, "utf-8")
        for number, kind, value in fields(message)
        if number == field and kind == BYTES and not isinstance(value, int)
    ]
    return found or [""]
