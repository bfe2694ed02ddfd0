"""Networks with a block or two a stage, for tests of what happens around a network.

TensorFlow takes seconds to build the graph of a training step, and the time grows with the number
of layers. These networks have every kind of layer of the whole ones, with the same names and
shapes, in less than half as many blocks. Tests of the networks themselves take the whole ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

BLOCKS = {"blocks2": 1, "blocks3": 1, "blocks4": 1, "blocks5": 2, "blocks6": 1}
"""First blocks of each stage of PP-LCNet: 3x3 and 5x5 kernels, and squeeze-and-excite."""


@contextmanager
def shallow_networks(folder: Path) -> Iterator[None]:
    """Within, PP-LCNet and MobileNetV1 are shallow, and so is the backbone that ships for x0.25.

    What was made of a whole network cannot be loaded meanwhile, and the other way around.
    """
    from pplcnet.models import mobilenetv1, pplcnet
    from pplcnet.weights import backbones

    stages = tuple((stage, blocks[: BLOCKS[stage]]) for stage, blocks in pplcnet.STAGES)
    # One block for each number of channels.
    rows = tuple({channels: (channels, stride) for channels, stride in reversed(mobilenetv1.BLOCKS)}
                 .values())[::-1]  # fmt: skip
    folder.mkdir(exist_ok=True)
    shipped = backbones.backbone_path("pplcnet_x0_25")
    _write_shallow(shipped, folder / shipped.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pplcnet, "STAGES", stages)
        patch.setattr(mobilenetv1, "BLOCKS", rows)
        patch.setattr(backbones, "FOLDER", folder)
        yield


def _write_shallow(whole: Path, path: Path) -> None:
    """A backbone's file without the blocks that are left out."""
    with np.load(whole) as arrays:
        kept = {}
        for name in arrays.files:
            stage, _, rest = name.partition("_")  # blocks5_1_dw_conv_conv.kernel
            if stage not in BLOCKS or int(rest.partition("_")[0]) < BLOCKS[stage]:
                kept[name] = arrays[name]
    np.savez(path, **kept)
