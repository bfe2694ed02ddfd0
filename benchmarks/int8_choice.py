"""A choice of the layers that stay in float, for the benchmarks of INT8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import onnx


class Choice(NamedTuple):
    """What stays in float, as `Way` says it."""

    name: str
    names: Sequence[str]
    is_asymmetric: bool = False

    def in_float(self, model: onnx.ModelProto, head_inputs: Sequence[str]) -> list[str]:
        return list(self.names)
