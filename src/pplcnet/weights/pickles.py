"""Reads a pickle of plain values and arrays without running it.

A pickle is a program for a stack machine. Python's unpickler imports and calls whatever the program
names; this one implements the few instructions that plain values need, calls only the functions
that it is given, and rejects the rest. The cost of a file is bounded by its size: the work of an
instruction is proportional to its bytes in the file, dictionary keys are text or numbers (anything
else could take forever to hash), and whatever a call creates is charged to a budget.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from pplcnet.errors import WeightsError

__all__ = ["Maker", "read_pickle", "shown"]

# A file of 2000 tensors takes about 80,000.
MAX_STEPS = 500_000
MAX_DEPTH = 32
# Bytes that calls may create per byte of the file: text to bytes, and bytes to an array, once each;
# the rest is slack for small files.
BUDGET_FACTOR, BUDGET_LEEWAY = 4, 1 << 16

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
})  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Maker:
    """What a name in a file stands for: `make` is called with the call's arguments."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


def shown(value: object) -> str:
    """A name from a file, quoted and shortened for a message."""
    if not isinstance(value, str | int) or (isinstance(value, int) and abs(value) > 1 << 64):
        return type(value).__name__
    text = repr(value[:80] if isinstance(value, str) else value)
    return ascii(text)[1:-1] if not text.isprintable() else text


def read_pickle(
    content: bytes,
    names: Mapping[tuple[str, str], Maker],
    find_persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value that a pickle holds.

    Args:
        names: (module, name) to what it stands for; any other name is rejected.
        find_persistent: resolves persistent ids; without it they are rejected.

    Raises:
        WeightsError: another instruction, another name, or more work than the size allows.
        Exception: nearly any, for damaged pickles.
    """
    return _Machine(content, names, find_persistent).run()


class _Machine:
    def __init__(
        self,
        content: bytes,
        names: Mapping[tuple[str, str], Maker],
        find_persistent: Callable[[Any], Any] | None,
    ) -> None:
        self.content = content
        self.names = names
        self.find_persistent = find_persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.budget = BUDGET_FACTOR * len(content) + BUDGET_LEEWAY
        # How deep containers nest, by id; the entry of a reused id is replaced.
        self.depths: dict[int, int] = {}

    def run(self) -> Any:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(self.content)):
            if step >= MAX_STEPS:
                raise WeightsError(f"it has more than {MAX_STEPS:,} pickle instructions.")
            name = opcode.name
            if name in _LITERALS:
                self._literal(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _TUPLES:
                self._tuple(len(self.stack) - _TUPLES[name])
            elif name == "STOP":
                return self.stack.pop()
            else:
                method = getattr(self, f"_do_{name.lower()}", None)
                if method is None:
                    raise WeightsError(f"it uses the pickle instruction {name}.")
                method(argument)
        raise WeightsError("it ends before its value is complete.")

    def _literal(self, value: Any) -> None:
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            raise WeightsError("it holds a number of more than 64 bits.")
        self.stack.append(value)

    def _do_proto(self, _: Any) -> None:
        pass

    def _do_frame(self, _: Any) -> None:
        pass

    # Marks and the stack.

    def _do_mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _since_mark(self) -> list[Any]:
        at = self.marks.pop()
        values = self.stack[at:]
        del self.stack[at:]
        return values

    def _do_pop(self, _: Any) -> None:
        self._check_above_mark(1)
        self.stack.pop()

    def _do_pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _check_above_mark(self, count: int) -> None:
        if len(self.stack) - count < (self.marks[-1] if self.marks else 0):
            raise WeightsError("it takes a value that is not there.")

    # The memo.

    def _do_memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _put(self, number: Any) -> None:
        self.memo[number] = self.stack[-1]

    def _get(self, number: Any) -> None:
        self.stack.append(self.memo[number])

    _do_put = _do_binput = _do_long_binput = _put
    _do_get = _do_binget = _do_long_binget = _get

    # Containers.

    def _nest(self, container: Any, values: list[Any]) -> None:
        known = self.depths
        inner = max((_depth(each, known) for each in values), default=0)
        known[id(container)] = max(known[id(container)], 1 + inner)
        if known[id(container)] > MAX_DEPTH:
            raise WeightsError(f"it nests values more than {MAX_DEPTH} deep.")

    def _push(self, container: Any, values: list[Any]) -> None:
        self.depths[id(container)] = 1
        self._nest(container, values)
        self.stack.append(container)

    def _tuple(self, at: int) -> None:
        self._check_above_mark(len(self.stack) - at)
        values = self.stack[at:]
        del self.stack[at:]
        self._push(tuple(values), values)

    def _do_tuple(self, _: Any) -> None:
        values = self._since_mark()
        self._push(tuple(values), values)

    def _do_empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _do_empty_list(self, _: Any) -> None:
        self._push([], [])

    def _do_empty_dict(self, _: Any) -> None:
        self._push({}, [])

    def _do_list(self, _: Any) -> None:
        values = self._since_mark()
        self._push(values, values)

    def _do_dict(self, _: Any) -> None:
        values = self._since_mark()
        self._push({}, [])
        self._set_items(values)

    def _append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise WeightsError("it appends to a value that is not a list.")
        self._nest(target, values)
        target.extend(values)

    def _do_append(self, _: Any) -> None:
        self._check_above_mark(2)
        self._append([self.stack.pop()])

    def _do_appends(self, _: Any) -> None:
        self._append(self._since_mark())

    def _set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise WeightsError("it sets entries of a value that is not a dictionary.")
        self._nest(target, values)
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Anything else could take forever to hash or to compare.
            if not isinstance(key, str | int):
                raise WeightsError(f"it has a {type(key).__name__} as a key of a dictionary.")
            target[key] = value

    def _do_setitem(self, _: Any) -> None:
        self._check_above_mark(3)
        value = self.stack.pop()
        self._set_items([self.stack.pop(), value])

    def _do_setitems(self, _: Any) -> None:
        self._set_items(self._since_mark())

    # Names and calls.

    def _named(self, module: Any, name: Any) -> None:
        found = None
        if isinstance(module, str) and isinstance(name, str):
            found = self.names.get((module, name))
        if found is None:
            full = f"{shown(module)[1:-1]}.{shown(name)[1:-1]}"
            raise WeightsError(
                f"it refers to {full}; a weights file holds arrays and nothing else."
            )
        self.stack.append(found)

    def _do_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._named(module, name)

    def _do_stack_global(self, _: Any) -> None:
        self._check_above_mark(2)
        name = self.stack.pop()
        self._named(self.stack.pop(), name)

    def _do_reduce(self, _: Any) -> None:
        self._check_above_mark(2)
        arguments, maker = self.stack.pop(), self.stack.pop()
        if not isinstance(maker, Maker) or not isinstance(arguments, tuple):
            self._refuse_call()
        made = maker.make(*arguments)
        self._charge(made)
        self._push(made, [])

    def _do_build(self, _: Any) -> None:
        self._check_above_mark(2)
        state, target = self.stack.pop(), self.stack[-1]
        take_state = getattr(target, "take_state", None)
        if isinstance(target, dict):
            return  # attributes of a state dict, such as its version, are not needed
        if take_state is None:
            self._refuse_call()
        take_state(state)
        self._charge(getattr(target, "array", None))

    def _do_binpersid(self, _: Any) -> None:
        if self.find_persistent is None:
            raise WeightsError("it uses the pickle instruction BINPERSID.")
        self.stack.append(self.find_persistent(self.stack.pop()))

    def _refuse_call(self) -> NoReturn:
        raise WeightsError("it calls or changes something that a weights file may not.")

    def _charge(self, made: Any) -> None:
        if isinstance(made, np.ndarray):
            self.budget -= made.nbytes
        elif isinstance(made, bytes):
            self.budget -= len(made)
        if self.budget < 0:
            raise WeightsError("it unpacks to far more than the size of the file.")


def _depth(value: Any, known: Mapping[int, int]) -> int:
    return known.get(id(value), 1) if isinstance(value, tuple | list | dict) else 0
