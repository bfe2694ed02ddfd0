"""Masks that cannot be learned, and what is worth knowing of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.masks import IGNORED, MaskFacts
from pplcnet.tasks.segmentation.audit import faults, notes
from tests.tasks.segmentation.masks import blobs, dataset_of

TRUTH = [blobs(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(tmp_path_factory.mktemp("audited"), TRUTH)


def _with_facts(data: Dataset, **facts: MaskFacts) -> Dataset:
    images = tuple(
        replace(image, annotation=replace(image.annotation, facts_found=own))
        if (own := facts.get(f"at_{at}")) is not None
        else image
        for at, image in enumerate(data.images)
    )
    return replace(data, images=images)


def test_sound_masks_have_no_fault_and_their_shares_are_told(data: Dataset) -> None:
    assert list(faults(data)) == []
    said = list(notes(data))
    assert said[0].startswith("share of the labelled pixels: ")
    assert said[0].endswith(" sea.")
    assert said[1] == "0.2% of all pixels are ignored."


def test_what_the_layout_found_is_told_of_each_mask(data: Dataset) -> None:
    broken = _with_facts(data, at_1=MaskFacts("the mask is broken", "unreadable mask"))
    (fault,) = faults(replace(broken, unpaired=()))
    assert fault[:3] == (
        "unreadable mask", "images/1.png: the mask is broken", (broken.images[1],)
    )  # fmt: skip
    (fault,) = faults(replace(data, unpaired=("masks/9.png has no photo",)))
    assert fault.text == "masks/9.png has no photo"


def test_values_that_are_no_class_are_told_with_their_pixels(data: Dataset) -> None:
    strange = _with_facts(
        data,
        at_0=MaskFacts(strange=(("7", 40), ("9", 1))),
        at_2=MaskFacts(strange=(("7", 2),)),
    )
    (fault,) = faults(strange)
    assert fault.text == (
        "the values 7 (42 pixels), 9 (1 pixel) stand for no class in the masks of images/0.png, "
        "images/2.png; allowed are 0, 1, 2, 255"
    )
    assert fault.left_out == (strange.images[0], strange.images[2])


def test_a_mask_of_0_and_255_is_a_fault_where_255_is_ignored(data: Dataset) -> None:
    (fault,) = faults(_with_facts(data, at_3=MaskFacts(is_two_valued=True)))
    assert fault.text.startswith("the mask of images/3.png contains only 0 and 255")


def test_an_index_with_two_colours_is_a_fault(data: Dataset) -> None:
    palettes = {f"at_{at}": MaskFacts(palette=((0, 0), (1, 0xFF0000))) for at in range(3)}
    other = MaskFacts(palette=((0, 0), (1, 0x0000FF)))
    (fault,) = faults(_with_facts(data, **palettes, at_3=other))
    assert fault.text == (
        "index 1 is #ff0000 in the palettes of most masks and #0000ff in 1 other, so the same "
        "index may mean another class: images/3.png"
    )
    assert not list(faults(_with_facts(data, **palettes)))


def test_masks_that_are_all_ignored_and_classes_that_are_nowhere(tmp_path: Path) -> None:
    blank = np.full((8, 8), IGNORED, np.uint8)
    half = np.zeros((8, 8), np.uint8)
    half[:2, :3] = 1
    half[2:] = IGNORED
    data = dataset_of(tmp_path, [blank, half, half])
    texts = [fault.text for fault in faults(data)]
    assert texts == [
        "every pixel of the mask is ignored, which leaves nothing to learn, in 1 photo: "
        "images/0.png",
        "class 'sea' has pixels on no photo; it needs some on at least two photos",
    ]
    assert "more than half of the pixels are ignored in 2 photos" in list(notes(data))[-1]


def test_a_class_that_no_training_mask_shows(data: Dataset) -> None:
    images = tuple(
        replace(image, split="train" if at < 2 else "test", annotation=replace(
            image.annotation, areas=(image.annotation.areas[0], image.annotation.areas[1],
                                     0 if at < 2 else 5)))
        for at, image in enumerate(data.images)
    )  # fmt: skip
    (fault,) = faults(replace(data, images=images))
    assert fault.text == "nothing to train on: no mask in train has a pixel of 'sea'"
