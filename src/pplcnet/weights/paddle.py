"""Reads `.pdparams`, the pickled state dict written by `paddle.save`.

`pickles.py` interprets the pickle; this module lists the names that it may refer to. They are the
few that numpy's arrays need, with stand-ins that only build arrays from bytes in the file.
"""

from __future__ import annotations

import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.errors import WeightsError
from pplcnet.weights.limits import read_file
from pplcnet.weights.pickles import Maker, read_pickle, shown

__all__ = ["ARRAY_NAMES", "read_pdparams"]

# Paddle stores the framework's internal parameter names under this key.
BOOKKEEPING_KEYS = frozenset({"StructuredToParameterName@@", "UnpackBigParamInfor@@"})

ALLOWED_DTYPES = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])


class _DtypeRecord:
    """Stands in for numpy.dtype, with the few dtypes that weights have."""

    def __init__(self, *arguments: Any) -> None:
        spec = arguments[0] if arguments else None
        if not isinstance(spec, str) or spec.lstrip("<>|=") not in ALLOWED_DTYPES:
            raise WeightsError("an array of a type that is not allowed; use plain numbers.")
        self.dtype = np.dtype(spec)

    def take_state(self, state: Any) -> None:
        byte_order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if byte_order not in ("<", ">", "|", "="):
            raise WeightsError("an array with an unknown byte order.")
        self.dtype = self.dtype.newbyteorder(byte_order)


class _ArrayRecord:
    """Stands in for numpy.ndarray; becomes an array once its bytes are known."""

    array: np.ndarray | None = None

    def take_state(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise WeightsError("an array without the five parts that describe one.")
        _, shape, dtype, is_fortran, content = state
        self.array = _array_from(shape, dtype, bool(is_fortran), content)


def _array_from(shape: Any, dtype: Any, is_fortran: bool, content: Any) -> np.ndarray:
    if not isinstance(dtype, _DtypeRecord) or not isinstance(content, bytes | bytearray):
        raise WeightsError("an array whose content is not plain numbers.")
    if not (
        isinstance(shape, tuple)
        and len(shape) <= 8
        and all(isinstance(side, int) and 0 <= side < 1 << 40 for side in shape)
    ):
        raise WeightsError("an array whose shape is not a tuple of whole numbers.")
    wanted = math.prod(shape) * dtype.dtype.itemsize
    if wanted != len(content):
        raise WeightsError(f"an array of shape {shape} needs {wanted} bytes, found {len(content)}.")
    flat = np.frombuffer(content, dtype.dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(*_: Any) -> _ArrayRecord:
    return _ArrayRecord()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """numpy's protocol-5 form: one call with everything."""
    return _array_from(shape, dtype, order == "F", content)


def _encode(text: Any, encoding: Any) -> bytes:
    """Protocol 2 has no bytes: they travel as a latin-1 string and a call of codecs.encode."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise WeightsError("text in an encoding other than latin-1.")
    return text.encode("latin-1")


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    if arguments:
        raise WeightsError("it fills an ordered dictionary in a way that weights files do not.")
    return {}


ARRAY_NAMES: dict[tuple[str, str], Maker] = {
    ("_codecs", "encode"): Maker(_encode),
    ("collections", "OrderedDict"): Maker(_ordered_dict),
    ("numpy", "dtype"): Maker(_DtypeRecord),
    ("numpy", "ndarray"): Maker(_reconstruct),
    **{
        (f"numpy.{core}.{module}", name): Maker(make)
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


def read_pdparams(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The state dict in a `.pdparams` file: tensor name to array, in the file's order.

    Both forms are read: plain arrays, and the newer `(framework name, array)` tuples.

    Raises:
        WeightsError: missing, truncated, not a state dict, or a pickle that does anything else.
    """
    path = Path(path)
    content = read_file(path)
    try:
        tensors = _tensors(read_pickle(content, ARRAY_NAMES))
        if sum(each.nbytes for each in tensors.values()) > 4 * len(content):
            raise WeightsError("it has the same numbers under many names.")
        return tensors
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as weights: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise WeightsError(
            f"{path}: not a readable .pdparams file ({type(error).__name__}: {error})."
        ) from error


def _tensors(state: Any) -> dict[str, np.ndarray]:
    if not isinstance(state, dict):
        raise WeightsError(f"it holds a {type(state).__name__} instead of a state dict.")
    tensors = {}
    for key, value in state.items():
        if key in BOOKKEEPING_KEYS:
            continue
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]
        if isinstance(value, _ArrayRecord):
            value = value.array
        if not isinstance(key, str) or not isinstance(value, np.ndarray):
            raise WeightsError(f"the entry {shown(key)} is a {type(value).__name__}, not an array.")
        tensors[key] = value
    return tensors
