"""Read `.pdparams`, what `paddle.save` writes: a pickle of a state dict.

A pickle is a program. This reader runs only those parts of it that build numbers, strings,
containers and numpy arrays: every opcode is checked before anything is executed, no name is ever
imported (the few that arrays need are answered by the stand-ins below), and an array is made only
from bytes that are in the file, so that a small file cannot claim much memory.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pplcnet.errors import WeightsError

__all__ = ["read_pdparams"]

# Paddle stores the names that parameters have inside the framework under this key.
BOOKKEEPING_KEYS = frozenset({"StructuredToParameterName@@", "UnpackBigParamInfor@@"})

ALLOWED_DTYPES = frozenset(["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])

# Opcodes that fetch objects from outside the file or through registries. GLOBAL and STACK_GLOBAL
# stay allowed: the unpickler below answers them from its own table.
FORBIDDEN_OPCODES = {
    *("PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "DUP"),
    *("NEXT_BUFFER", "READONLY_BUFFER"),
}
MEMO_OPCODES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
MEMO_LIMIT = 1_000_000


class _DtypeRecord:
    """Stands in for numpy.dtype while unpickling; holds the few kinds that weights have."""

    def __init__(self, *arguments: Any) -> None:
        spec = arguments[0] if arguments else None
        if not isinstance(spec, str) or spec.lstrip("<>|=") not in ALLOWED_DTYPES:
            raise WeightsError("an array of a type that is not allowed; only plain numbers are.")
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: Any) -> None:
        byte_order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if byte_order not in ("<", ">", "|", "="):
            raise WeightsError("an array with an unknown byte order.")
        self.dtype = self.dtype.newbyteorder(byte_order)


class _ArrayRecord:
    """Stands in for numpy.ndarray while unpickling; becomes an array once its bytes are known."""

    array: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
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
        and all(isinstance(side, int) and side >= 0 for side in shape)
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


class _StandIn:
    """What a name in the file is answered with: it can be called, and BUILD cannot change it."""

    __slots__ = ("_make",)
    _make: Any

    def __init__(self, make: Any) -> None:
        object.__setattr__(self, "_make", make)  # past the refusal below

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise WeightsError("it changes what an array is made by.")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _DtypeRecord,
    ("numpy", "ndarray"): _ArrayRecord,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _ArraysOnlyUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _StandIn(_STAND_INS[module, name])
        except KeyError:
            raise WeightsError(
                f"it refers to {module}.{name}; a weights file holds arrays and nothing else."
            ) from None


def read_pdparams(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The state dict in a `.pdparams` file: tensor name to array, in the file's order.

    Both forms are read: plain arrays, and the newer `(framework name, array)` tuples.

    Raises:
        WeightsError: no such file, cut off, not a state dict, or made to do anything but that.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        _check_opcodes(content)
        state = _ArraysOnlyUnpickler(io.BytesIO(content), encoding="latin-1").load()
        return _tensors(state)
    except WeightsError as error:
        raise WeightsError(f"{path}: not accepted as weights: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise WeightsError(
            f"{path}: not a readable .pdparams file ({type(error).__name__}: {error})."
        ) from error


# A state dict needs a tuple for each shape and array, hardly more of them than bytes of numbers;
# tuples of tuples of tuples, each twice in the next, take for ever to compare and to print.
TUPLE_RUN_LIMIT = 8


def _check_opcodes(content: bytes) -> None:
    tuples_in_a_row = 0
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"):
            tuples_in_a_row += 1
        elif opcode.name not in ("BINGET", "LONG_BINGET", "GET", "MARK", *MEMO_OPCODES, "MEMOIZE"):
            tuples_in_a_row = 0
        if tuples_in_a_row > TUPLE_RUN_LIMIT:
            raise WeightsError("it nests tuples as no weights file does.")
        if opcode.name in FORBIDDEN_OPCODES:
            raise WeightsError(f"it uses the pickle instruction {opcode.name}.")
        if opcode.name in MEMO_OPCODES and int(argument or 0) > MEMO_LIMIT:
            raise WeightsError("it numbers more objects than a weights file can have.")


def _tensors(state: Any) -> dict[str, np.ndarray]:
    if not isinstance(state, dict):
        raise WeightsError(f"it holds a {type(state).__name__} in place of a state dict.")
    tensors = {}
    for key, value in state.items():
        if key in BOOKKEEPING_KEYS:
            continue
        if isinstance(value, tuple) and len(value) == 2:
            value = value[1]
        if isinstance(value, _ArrayRecord):
            value = value.array
        if not isinstance(key, str) or not isinstance(value, np.ndarray):
            name = repr(key) if isinstance(key, str | int) else type(key).__name__
            raise WeightsError(f"the entry {name} is a {type(value).__name__}, not an array.")
        tensors[key] = value
    return tensors
