"""The fuzzer fails where it should: on a foreign exception, a hang, and too much memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import InputError
from tests.fuzzing.harness import MEMORY, fuzz

SEEDS = {"seed": b"hello"}


def _is_special(path: Path) -> bool:
    return path.read_bytes()[:1] == b"\x07"


def refuse(path: Path) -> None:
    if _is_special(path):
        raise InputError("refused.")


def raise_foreign(path: Path) -> None:
    if _is_special(path):
        raise KeyError("foreign")


def hang(path: Path) -> None:
    while _is_special(path):
        pass


def take_memory(path: Path) -> bytearray | None:
    return bytearray(2 * MEMORY) if _is_special(path) else None


@pytest.mark.slow
def test_an_error_of_ours_is_no_finding(tmp_path: Path) -> None:
    fuzz(refuse, SEEDS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("read", [raise_foreign, hang, take_memory])
def test_what_must_not_happen_is_found(read, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"input: .*found"):
        fuzz(read, SEEDS, tmp_path)
