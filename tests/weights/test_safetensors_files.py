"""`.safetensors`: half precision and foreign names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from pplcnet.errors import WeightsError
from pplcnet.weights.files import read_weights


def _safetensors(kind: str, data: bytes) -> bytes:
    header = f'{{"fc.weight":{{"dtype":"{kind}","shape":[2,3],"data_offsets":[0,{len(data)}]}}}}'
    return len(header).to_bytes(8, "little") + header.encode() + data


def test_safetensors_in_half_precision_are_read(tmp_path: Path) -> None:
    numbers = np.array([[1, -2, 3], [0.5, 5, 64]], "<f4")
    upper_halves = (numbers.view("<u4") >> 16).astype("<u2").tobytes()
    for kind, data in (("BF16", upper_halves), ("F16", numbers.astype("<f2").tobytes())):
        (tmp_path / "w.safetensors").write_bytes(_safetensors(kind, data))
        found = read_weights(tmp_path / "w.safetensors").tensors
        np.testing.assert_array_equal(found["fc.weight"], numbers)


def test_safetensors_in_8_bit_floats_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(_safetensors("F8_E4M3", bytes(6)))
    with pytest.raises(WeightsError, match=r"'fc\.weight' is of the type 'F8_E4M3'"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["conv_stem.weight", "encoder.convolution.convolution.weight"])
def test_a_foreign_name_that_the_network_lacks_is_named(name: str, tmp_path: Path) -> None:
    tensors = {name: np.zeros((8, 3, 3, 3), "f4"), "stage9.weird.weight": np.zeros(2, "f4")}
    (tmp_path / "w.safetensors").write_bytes(save(tensors))
    with pytest.raises(WeightsError, match=r"stage9\.weird\.weight"):
        read_weights(tmp_path / "w.safetensors")
