"""The HDF5 files that Keras writes are read; anything else in them is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pplcnet.errors import WeightsError
from pplcnet.weights.files import read_weights


def _h5(fill: Callable[[h5py.File], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables.attrs["name"] = "fc"
        fill(variables)
    return buffer.getvalue()


def _virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    group.create_virtual_dataset("0", layout)


HOSTILE = {
    "700 million numbers": lambda g: g.create_dataset("0", (700_000_000,), "f4", chunks=(1000,)),
    "packed zeros": lambda g: g.create_dataset(
        "0", data=np.zeros(40_000_000, "f4"), compression="gzip", chunks=(4_000_000,)
    ),
    "external link": lambda g: g.__setitem__("0", h5py.ExternalLink("/etc/passwd", "x")),
    "soft link": lambda g: g.__setitem__("0", h5py.SoftLink("/layers")),
    "external storage": lambda g: g.create_dataset(
        "0", (4,), "f4", external=[("/etc/hostname", 0, 16)]
    ),
    "virtual": _virtual,
    "text": lambda g: g.create_dataset("0", data=["a", "b"], dtype=h5py.string_dtype()),
    "references": lambda g: g.create_dataset("0", (2,), h5py.ref_dtype),
    "a group": lambda g: g.create_group("0"),
    "a plugin's filter": lambda g: g.create_dataset(
        "0", data=np.zeros(4000, "f4"), compression="lzf", chunks=(1000,)
    ),
    "no numbers": lambda g: g.create_dataset("0", data=h5py.Empty("f4")),
    "itself": lambda g: g.__setitem__("layers", g.file["layers"]),
}


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
@pytest.mark.parametrize("name", HOSTILE)
def test_only_plain_numbers_inside_the_file_are_read(
    tmp_path: Path, name: str, ending: str
) -> None:
    content, path = _h5(HOSTILE[name]), tmp_path / f"m{ending}"
    if ending == ".keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.weights.h5", content)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"not accepted as a Keras file|not a readable Keras"):
        read_weights(path)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1", "bfloat16"])
def test_every_type_that_keras_writes_is_read(tmp_path: Path, dtype: str) -> None:
    numbers = np.array([[1, 2, 3], [4, 5, 64]])

    def fill(group: h5py.Group) -> None:
        if dtype == "bfloat16":
            # h5py, and so Keras, stores them as opaque pairs of bytes.
            data = (numbers.astype("f4").view("u4") >> 16).astype("u2").view("V2")
            group.create_dataset("0", data=data).attrs["dtype"] = dtype
        else:
            group.create_dataset("0", data=numbers.astype(dtype))
        for at in range(1, 40):  # more than a node of the group's tree holds
            group.create_dataset(str(at), data=np.zeros(0, "f4"))

    (tmp_path / "m.weights.h5").write_bytes(_h5(fill))
    found = read_weights(tmp_path / "m.weights.h5").tensors
    np.testing.assert_array_equal(found["fc.kernel"], numbers)
    assert len(found) == 40
