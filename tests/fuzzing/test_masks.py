"""Mutated masks and files of their classes are read or refused, in bounded time and memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.data.layouts.mask_classes import read_classes
from pplcnet.imaging.masks import decode_mask, tally
from tests.fuzzing.harness import fuzz
from tests.fuzzing.test_images import TOKENS
from tests.image_seeds import seeds

CLASSES = (
    {"classes": ["road", "sea"], "colors": {"road": "#0000ff", "sea": [1, 2, 3]}, "ignore": 255},
    {"classes": ["road", "sea"], "values": [7, 255], "ignore": ["#ffffff", 3]},
    {"road": 7, "sea": 8},
    {"0": "road", "1": "sea"},
    ["road", "sea"],
)


def read_mask(path: Path) -> None:
    mask = decode_mask(path)
    assert mask.values.ndim == 2
    assert mask.digest
    assert sum(tally(mask).values()) == mask.values.size


def read_class_file(path: Path) -> None:
    found = read_classes(path)
    assert len(found.names) > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "BMP", "WEBP"])
def test_mutated_masks_are_decoded_or_refused(kind: str, tmp_path: Path) -> None:
    fuzz(read_mask, seeds(kind), tmp_path, suffix=".img", tokens=TOKENS[kind])


@pytest.mark.slow
def test_mutated_files_of_classes_are_read_or_refused(tmp_path: Path) -> None:
    texts = {str(at): json.dumps(each).encode() for at, each in enumerate(CLASSES)}
    tokens = [
        b'"colors"',
        b'"classes"',
        b'"values"',
        b'"ignore"',
        b"null",
        b"true",
        b"1e9",
        b"#000000",
        b"[",
        b"{",
    ]
    fuzz(read_class_file, texts, tmp_path, suffix=".json", tokens=tokens)
