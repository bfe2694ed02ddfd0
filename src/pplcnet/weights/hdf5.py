"""Just enough of HDF5 to read what Keras writes, with a limit on the number of steps.

The HDF5 library hangs or crashes on some damaged files, and no check beforehand can rule that out.
Keras writes the oldest form of the format: groups as symbol tables, contiguous arrays, names as
attributes. Only that is read here, following the HDF5 File Format Specification, version 3;
anything else (links, chunks, compression, external files, virtual arrays) is rejected.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pplcnet.errors import WeightsError

__all__ = ["Array", "Group", "open_hdf5"]

MAX_STEPS = 400_000
UNDEFINED = (1 << 64) - 1
_SYMBOL_TABLE, _CONTINUATION, _ATTRIBUTE = 0x11, 0x10, 0x0C
_DATASPACE, _DATATYPE, _LAYOUT, _EXTERNAL, _FILTERS = 0x01, 0x03, 0x08, 0x07, 0x0B
# No effect on the data: modification times, fill values, comments, group sizes, padding.
_IGNORED = {0x00, 0x04, 0x05, 0x0A, 0x0D, 0x0E, 0x12, 0x16}


class _File:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.steps = 0

    def take(self, at: int, size: int) -> bytes:
        """`size` bytes at an address; WeightsError outside the file, or after too many steps."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise WeightsError("it refers to itself in a circle, or has more parts than a network.")
        if at < 0 or size < 0 or at + size > len(self.content):
            raise WeightsError("it refers to bytes outside the file.")
        return self.content[at : at + size]

    def numbers(self, layout: str, at: int) -> tuple[Any, ...]:
        return struct.unpack(layout, self.take(at, struct.calcsize(layout)))

    def expect(self, at: int, signature: bytes) -> None:
        if self.take(at, len(signature)) != signature:
            raise WeightsError(f"a part of the file is damaged (no {signature!r}).")


class _Object:
    """The object at an address: its messages and its attributes."""

    def __init__(self, file: _File, at: int) -> None:
        self.file = file
        self.messages: dict[int, tuple[int, int]] = {}
        self.attributes: dict[str, str] = {}
        version, _, _, _, size = file.numbers("<BBHII", at)
        if version != 1:
            raise WeightsError("it is not in the form of HDF5 that Keras writes.")
        self._read(at + 16, size, depth=0)

    def _read(self, at: int, size: int, depth: int) -> None:
        end = at + size
        while at + 8 <= end:
            kind, length, flags = self.file.numbers("<HHB", at)
            body = at + 8
            if body + length > end:
                raise WeightsError("a part of the file is cut off.")
            if flags & 2:
                raise WeightsError("it has shared messages, which Keras does not write.")
            if kind == _CONTINUATION:
                if depth > 8:
                    raise WeightsError("it refers to itself in a circle.")
                start, size = self.file.numbers("<QQ", body)
                self._read(start, size, depth + 1)
            elif kind == _ATTRIBUTE:
                self._attribute(body)
            elif kind in self.messages:
                raise WeightsError("it describes an object twice.")
            elif kind not in _IGNORED:
                self.messages[kind] = (body, length)
            at = body + length

    def _attribute(self, at: int) -> None:
        version, _, name_size, type_size, space_size = self.file.numbers("<BBHHH", at)
        if version not in (1, 3):
            return  # Keras does not write it
        at += 8 + (version == 3)
        sizes = [name_size, type_size, space_size]
        if version == 1:
            sizes = [(each + 7) // 8 * 8 for each in sizes]
        name = self.file.take(at, name_size).rstrip(b"\0").decode("utf-8")
        kind = self.file.take(at + sizes[0], 1)[0] & 15
        (size,) = self.file.numbers("<I", at + sizes[0] + 4)
        rank = self.file.take(at + sizes[0] + sizes[1] + 1, 1)[0]
        data = at + sum(sizes)
        if rank == 0 and kind == 3:
            self.attributes[name] = self.file.take(data, size).rstrip(b"\0").decode("utf-8")
        elif rank == 0 and kind == 9:
            self.attributes[name] = self._from_heap(data).decode("utf-8")

    def _from_heap(self, at: int) -> bytes:
        """A string of variable length, from the heap collection that holds it."""
        length, heap, wanted = self.file.numbers("<IQI", at)
        self.file.expect(heap, b"GCOL")
        (size,) = self.file.numbers("<Q", heap + 8)
        end, at = heap + size, heap + 16
        while at + 16 <= end:
            index, _, _, stored = self.file.numbers("<HHIQ", at)
            if index == 0:
                break
            if index == wanted:
                return self.file.take(at + 16, min(length, stored))
            at += 16 + (stored + 7) // 8 * 8
        raise WeightsError("it refers to a string that is not there.")


class Array(_Object):
    """A contiguous array of plain numbers."""

    def read(self) -> np.ndarray:
        """The numbers as an array; WeightsError if they are not all inside the file."""
        shape, dtype = self._shape(), self._dtype()
        at, length = self.messages[_LAYOUT]
        version, kind = self.file.numbers("<BB", at)
        if version != 3 or kind != 1 or length < 18 or {_EXTERNAL, _FILTERS} & set(self.messages):
            raise WeightsError("an array is not contiguous in the file.")
        address, size = self.file.numbers("<QQ", at + 2)
        if size != math.prod(shape) * dtype.itemsize:
            raise WeightsError(f"an array of shape {shape} has {size} bytes.")
        content = self.file.take(address, size) if size else b""
        return np.frombuffer(content, dtype).reshape(shape)

    def _shape(self) -> tuple[int, ...]:
        at, _ = self.messages[_DATASPACE]
        version, rank, _, kind = self.file.numbers("<BBBB", at)
        if version not in (1, 2) or rank > 8 or (version == 2 and kind == 2):
            raise WeightsError("an array has no shape.")
        return self.file.numbers(f"<{rank}Q", at + (8 if version == 1 else 4))

    def _dtype(self) -> np.dtype[Any]:
        at, _ = self.messages[_DATATYPE]
        kind, bits, _, _, size = self.file.numbers("<BBBBI", at)
        # Keras writes bfloat16, which HDF5 does not know, as opaque byte pairs with a tag.
        if kind & 15 == 5 and size == 2 and self.attributes.get("dtype") == "bfloat16":
            return np.dtype("<u2")
        if bits & 1 or size not in (1, 2, 4, 8) or kind & 15 > 1 or (kind & 15 == 1 and size == 1):
            raise WeightsError("an array holds something other than plain numbers.")
        letter = "f" if kind & 15 == 1 else ("i" if bits & 8 else "u")
        return np.dtype(f"<{letter}{size}")


class Group(_Object):
    """Named groups and arrays."""

    def names(self) -> Mapping[str, int]:
        """Name to address."""
        if _SYMBOL_TABLE not in self.messages:
            return {}
        tree, heap = self.file.numbers("<QQ", self.messages[_SYMBOL_TABLE][0])
        self.file.expect(heap, b"HEAP")
        size, _, texts = self.file.numbers("<QQQ", heap + 8)
        found: dict[str, int] = {}
        for entry in self._entries(tree, depth=0):
            name, address, kind = self.file.numbers("<QQI", entry)
            if kind == 2 or name >= size:
                raise WeightsError("it has a link.")
            text = self.file.take(texts + name, min(size - name, 256)).partition(b"\0")[0]
            found[text.decode("utf-8")] = address
        return found

    def _entries(self, at: int, depth: int) -> Iterator[int]:
        """Addresses of the entries below a node of the group's tree."""
        if at == UNDEFINED:
            return
        if self.file.take(at, 4) == b"SNOD":
            (count,) = self.file.numbers("<H", at + 6)
            yield from range(at + 8, at + 8 + 40 * count, 40)
            return
        self.file.expect(at, b"TREE")
        kind, _, count = self.file.numbers("<BBH", at + 4)
        if kind != 0 or depth > 8:
            raise WeightsError("a part of the file is damaged.")
        for index in range(count):
            (child,) = self.file.numbers("<Q", at + 24 + 8 + 16 * index)
            yield from self._entries(child, depth + 1)

    def group(self, address: int) -> Group:
        """The group at an address that `names` gave."""
        return Group(self.file, address)

    def array(self, address: int) -> Array:
        """The array at an address that `names` gave."""
        return Array(self.file, address)


def open_hdf5(content: bytes) -> Group:
    """The root group of a file.

    Raises:
        WeightsError: not HDF5 as Keras writes it, or damaged; groups and arrays also raise it.
    """
    file = _File(content)
    file.expect(0, b"\x89HDF\r\n\x1a\n")
    version, _, _, _, _, offsets, lengths = file.numbers("<7B", 8)
    if version != 0 or (offsets, lengths) != (8, 8):
        raise WeightsError("it is not in the form of HDF5 that Keras writes.")
    base, *_ = file.numbers("<Q", 24)
    (root,) = file.numbers("<Q", 64)
    if base != 0:
        raise WeightsError("it is not in the form of HDF5 that Keras writes.")
    return Group(file, root)
