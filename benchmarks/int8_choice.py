"""Which layers stay in float: the choices in the INT8 benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx


class Choice(NamedTuple):
    """What stays in float, in the terms of `Way`."""

    name: str
    names: Sequence[str]
    is_asymmetric: bool = False

    def in_float(self, model: onnx.ModelProto, head_inputs: Sequence[str]) -> list[str]:
        return list(self.names)
