"""Masks as an annotation: read, renumbered, written to a table and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.data.annotations import Mask
from pplcnet.data.masks import IGNORED, Coding
from pplcnet.errors import ImageError
from pplcnet.imaging.masks import MaskValues, decode_mask

CLASSES = ("road", "Maß", "sea")
VALUES = np.array([[0, 1, 2, 255], [0, 7, 2, 1]], np.uint8)
CODING = Coding(((0, 0), (1, 1), (2, 2), (255, IGNORED)))
COLOURS = Coding(((0x000000, 0), (0x3C1098, 1), (0xFF0000, 2)), is_colour=True)


@pytest.fixture
def mask(tmp_path: Path) -> Mask:
    Image.fromarray(VALUES).save(tmp_path / "a.png")
    digest = decode_mask(tmp_path / "a.png").digest
    return Mask(tmp_path / "a.png", (4, 2), CODING, (2, 2, 2), 2, 1, digest)


def test_values_become_classes_and_others_are_ignored(mask: Mask) -> None:
    assert mask.read().tolist() == [[0, 1, 2, 255], [0, 255, 2, 1]]
    assert mask.read().dtype == np.uint8


@pytest.mark.parametrize(
    "values",
    [
        MaskValues(np.array([[0x3C1098, 0, 0xFF0000, 5]], np.uint32), "colour"),
        MaskValues(np.array([[2, 0, 1, 3]], np.uint8), "palette", (0, 0xFF0000, 0x3C1098, 5)),
    ],
)
def test_colours_of_pixels_and_of_palettes_become_classes(values: MaskValues) -> None:
    assert COLOURS.decode(values).tolist() == [[1, 0, 2, 255]]


def test_a_grey_mask_among_coloured_ones_is_read_by_colour() -> None:
    black = MaskValues(np.zeros((1, 2), np.uint8), "grey")
    assert COLOURS.decode(black).tolist() == [[0, 0]]


def test_a_mask_that_has_changed_is_not_read(mask: Mask) -> None:
    Image.fromarray(VALUES[::-1]).save(mask.path)
    with pytest.raises(ImageError, match="has changed since"):
        mask.read()


def test_a_class_that_goes_is_ignored(mask: Mask) -> None:
    other = mask.renumbered({0: 1, 2: 0}, 2)
    assert other is not None
    assert other.read().tolist() == [[1, 255, 0, 255], [1, 255, 0, 255]]
    assert (other.areas, other.ignored) == ((2, 2), 4)
    assert mask.renumbered({0: 0, 1: 1, 2: 2}, 3) == mask
    assert replace(mask, areas=(8, 0, 0)).renumbered({1: 0}, 1) is None


def test_masks_of_one_photo_contradict_each_other_in_large_parts_only(mask: Mask) -> None:
    assert not Mask.are_contradictory([mask, replace(mask, areas=(1, 3, 2))])
    assert Mask.are_contradictory([mask, replace(mask, areas=(0, 4, 2))])
    tiny = replace(mask, areas=(1, 60, 60))
    assert not Mask.are_contradictory([tiny, replace(mask, areas=(0, 61, 60))])


@pytest.mark.parametrize("coding", [CODING, COLOURS])
def test_a_row_of_a_table_gives_the_same_mask_back(mask: Mask, coding: Coding) -> None:
    mask = replace(mask, coding=coding)
    cells = [str(each) for each in mask.cells(CLASSES)]
    assert Mask.from_cells(cells, CLASSES) == mask
    assert hash(Mask.from_cells(cells, CLASSES)) == hash(mask)
    assert Mask.classes_in(Mask.columns(CLASSES), [cells]) == [*CLASSES]
    turned = Mask.from_cells(cells, CLASSES[::-1])
    assert turned.areas == mask.areas[::-1]
    assert (
        turned.read().tolist() == (mask.renumbered({0: 2, 1: 1, 2: 0}, 3) or mask).read().tolist()
    )
    assert mask.facts(CLASSES) == f"{mask.digest} {cells[3]}"


@pytest.mark.parametrize("at", range(3))
@pytest.mark.parametrize(
    "cell",
    ["", "{}", '{"classes":{"road":[0]}}', '{"classes":{"road":["x"]},"ignored":[]}', "[" * 9999,
     '{"classes":{"road":[0.5]},"ignored":[]}', '{"classes":{"lake":[0]},"ignored":[]}', "-3"],
)  # fmt: skip
def test_damaged_cells_are_refused(mask: Mask, cell: str, at: int) -> None:
    cells = [str(each) for each in mask.cells(CLASSES)]
    cells[[1, 3, 4][at]] = cell
    with pytest.raises(
        ValueError,
        match=r"not a mask coding|not describe a mask|areas for|of the classes|invalid lit",
    ):
        Mask.from_cells(cells, CLASSES)


def test_what_a_mask_shows_in_words(mask: Mask) -> None:
    assert replace(mask, areas=(1, 0, 3)).to_text(CLASSES) == "75% sea, 25% road"
    assert replace(mask, areas=(0, 0, 0)).to_text(CLASSES) == "no labelled pixel"
    assert replace(mask, areas=(1, 0, 3)).shown == (0, 2)
