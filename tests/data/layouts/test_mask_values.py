"""What the values of masks stand for is recognised and said, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from tests.data.layouts.masks import (
    CLASSES,
    VALUES,
    areas,
    colour_names,
    coloured,
    refusal,
    with_palette,
    write_classes,
    write_pair,
)

READ = {"land": 920, "road": 920, "sea": 1104}
BINARY = np.where(VALUES == 1, 255, 0).astype(np.uint8)


def _of(folder: Path, *masks: Any, classes: Any = None) -> Path:
    for at, mask in enumerate(masks):
        write_pair(folder, str(at), mask)
    if classes is not None:
        write_classes(folder, classes)
    return folder


def test_a_palette_is_read_by_its_indices(tmp_path: Path) -> None:
    other = ((9, 9, 9), (8, 8, 8), (7, 7, 7))
    for number, classes in enumerate((CLASSES, colour_names())):
        colours = other if number else ((1, 1, 1), *other[1:])
        folder = _of(tmp_path / str(number), with_palette(colours=colours), classes=classes)
        dataset = Dataset.open(folder)
        assert areas(dataset)["images/0.jpg"] == READ
        assert dataset.notes[0].startswith(
            "palette masks are read by their indices, whatever their colours: 0 land, 1 road, 2 sea"
        )


def test_a_palette_of_the_classes_colours_is_read_by_colour(tmp_path: Path) -> None:
    swapped = np.where(VALUES == 255, 3, np.array([2, 0, 1] + [0] * 253, np.uint8)[VALUES])
    palette = (COLOUR_OF["road"], COLOUR_OF["sea"], COLOUR_OF["land"], (255, 255, 255))
    masks = with_palette(swapped.astype(np.uint8), palette)
    dataset = Dataset.open(_of(tmp_path, masks, classes=colour_names()))
    assert areas(dataset)["images/0.jpg"] == READ
    assert "by their colours, all of which" in dataset.notes[0]


COLOUR_OF = dict(zip(CLASSES, ((0x3C, 0x10, 0x98), (0, 0, 0), (0xFF, 0, 0)), strict=True))


def test_colours_are_read_by_classes_json(tmp_path: Path) -> None:
    black = coloured(np.ones_like(VALUES))
    dataset = Dataset.open(_of(tmp_path, coloured(), black, classes=colour_names()))
    assert areas(dataset) == {"images/0.jpg": READ, "images/1.jpg": {"road": VALUES.size}}
    assert dataset.notes[0] == (
        "masks are read by their colours: #000000 road, #3c1098 land, #ff0000 sea; #ffffff is "
        "ignored."
    )


def test_indices_stay_indices_where_classes_have_colours_too(tmp_path: Path) -> None:
    dataset = Dataset.open(_of(tmp_path, VALUES, classes={**colour_names(), "ignore": 255}))
    assert areas(dataset)["images/0.jpg"] == READ
    assert dataset.images[0].annotation.coding.is_colour is False


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, ("background", "foreground")), (["no", "yes"], ("no", "yes"))],
)
def test_masks_of_0_and_255_are_two_classes(
    tmp_path: Path, names: Any, expected: tuple[str, str]
) -> None:
    dataset = Dataset.open(_of(tmp_path, BINARY, np.zeros_like(BINARY), classes=names))
    assert dataset.classes == expected
    assert areas(dataset)["images/0.jpg"] == {expected[0]: 2152, expected[1]: 920}
    assert f"255 {expected[1]}" in dataset.notes[0] or "255 as foreground" in dataset.notes[0]


def test_black_and_white_follow_stated_values_and_colours(tmp_path: Path) -> None:
    stated = {"classes": ["yes", "no"], "values": {"yes": 255, "no": 0}}
    drawn = {"classes": ["yes", "no"], "colors": ["#ffffff", [0, 0, 0]]}
    for number, classes in enumerate((stated, drawn)):
        dataset = Dataset.open(_of(tmp_path / str(number), BINARY, classes=classes))
        assert areas(dataset)["images/0.jpg"] == {"yes": 920, "no": 2152}


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (CLASSES, "classes.json names 3 classes (land, road, sea)"),
        ({"classes": ["no", "yes"], "ignore": 255}, "classes.json says that 255 is ignored"),
    ],
)
def test_masks_of_0_and_255_are_refused_where_255_would_be_ignored(
    tmp_path: Path, classes: Any, reason: str
) -> None:
    text = refusal(_of(tmp_path, BINARY, BINARY, classes=classes))
    assert f"its masks contain only 0 and 255, and {reason}" in text
    assert "\n" not in text.strip()


def test_one_mask_of_0_and_255_among_indices_is_a_fault(tmp_path: Path) -> None:
    text = refusal(_of(tmp_path, VALUES, VALUES, BINARY, classes=CLASSES))
    assert "the mask of images/2.jpg contains only 0 and 255, and 255 is ignored here" in text
    stated = {"classes": list(CLASSES), "ignore": 255}
    write_classes(tmp_path, stated)
    assert Dataset.open(tmp_path).images[2].annotation.facts_found.is_two_valued is False


def test_a_value_too_high_is_told_with_its_pixels(tmp_path: Path) -> None:
    high = VALUES.copy()
    high[5, 5:9] = 3
    text = refusal(_of(tmp_path, VALUES, VALUES, high, classes=CLASSES))
    assert text.splitlines()[1:] == [
        "  the value 3 (4 pixels) stands for no class in the mask of images/2.jpg; allowed are 0, "
        "1, 2, 255"
    ]


def test_a_colour_that_is_no_class_is_told(tmp_path: Path) -> None:
    odd = coloured()
    odd[7, 7] = (1, 2, 3)
    text = refusal(_of(tmp_path, coloured(), coloured(), odd, classes=colour_names()))
    assert "the colour #010203 (1 pixel) stands for no class in the mask of images/2.jpg" in text


@pytest.mark.parametrize(
    ("mask", "classes", "complaint"),
    [
        (VALUES, None, "its masks have the values 0, 1, 2, 255, and nothing says which classes"),
        (
            coloured(),
            None,
            "its masks are colour-coded, and nothing says which classes the colours stand for",
        ),
        (coloured(), CLASSES, "its masks are colour-coded, and classes.json has no colours"),
        (coloured(VALUES % 5 * 0 + 7), colour_names(), "no photo"),
    ],
)
def test_what_is_not_certain_is_refused(
    tmp_path: Path, mask: Any, classes: Any, complaint: str
) -> None:
    assert complaint in refusal(_of(tmp_path, mask, mask, classes=classes))


def test_16_bits_and_grey_in_three_channels_are_indices(tmp_path: Path) -> None:
    deep, grey = VALUES.astype(np.uint16), np.stack([VALUES] * 3, axis=2)
    dataset = Dataset.open(_of(tmp_path, deep, grey, classes=CLASSES))
    assert list(areas(dataset).values()) == [READ, READ]


def test_palettes_that_differ_are_a_fault(tmp_path: Path) -> None:
    usual, other = (
        with_palette(),
        with_palette(colours=((0x3C, 0x10, 0x98), (0, 99, 0), (255, 0, 0))),
    )
    text = refusal(_of(tmp_path, usual, usual, other, classes=CLASSES))
    assert "index 1 is #000000 in the palettes of most masks and #006300 in 1 other" in text
