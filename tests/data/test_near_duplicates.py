"""Near-duplicates: the blockwise search against brute force, and what counts as one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from pplcnet.data import near_duplicates as similarity
from pplcnet.data.near_duplicates import fingerprint, group_similar, nearest
from tests.conftest import draw_image, draw_scene


def _prints(count: int, seed: int) -> np.ndarray:
    """Random fingerprints, half of them near to another, some equal to one."""
    generator = np.random.default_rng(seed)
    prints = generator.integers(0, 2**64, (count, 5), dtype=np.uint64)
    for each in range(0, count, 2):
        prints[each] = prints[generator.integers(count)]
        for _ in range(generator.integers(12)):
            word, bit = generator.integers(5), generator.integers(64)
            prints[each, word] ^= np.uint64(1) << np.uint64(bit)
    return prints


def _is_near(one: np.ndarray, other: np.ndarray, coarse: int, fine: int) -> bool:
    words = [int(a) ^ int(b) for a, b in zip(one, other, strict=True)]
    bits = [word.bit_count() for word in words]
    return bits[0] <= coarse and sum(bits[1:]) <= fine


def _brute_groups(prints: np.ndarray, coarse: int, fine: int) -> list[list[int]]:
    groups: list[set[int]] = []
    for at, mark in enumerate(prints):
        near = [g for g in groups if any(_is_near(mark, prints[o], coarse, fine) for o in g)]
        groups = [g for g in groups if g not in near] + [{at}.union(*near)]
    return sorted(sorted(group) for group in groups if len(group) > 1)


@pytest.mark.parametrize("block", [(3, 7), (64, 16), (256, 8192)])
@pytest.mark.parametrize(("coarse", "fine"), [(0, 0), (2, 4), (8, 32)])
def test_groups_are_those_of_brute_force(monkeypatch, block, coarse: int, fine: int) -> None:
    monkeypatch.setattr(similarity, "ROWS", block[0])
    monkeypatch.setattr(similarity, "COLUMNS", block[1])
    prints = _prints(90, seed=coarse)
    found = group_similar(prints, coarse=coarse, fine=fine)
    assert [group.tolist() for group in found] == _brute_groups(prints, coarse, fine)
    assert found


@pytest.mark.parametrize("block", [(3, 7), (256, 8192)])
def test_nearest_is_that_of_brute_force(monkeypatch, block) -> None:
    monkeypatch.setattr(similarity, "ROWS", block[0])
    monkeypatch.setattr(similarity, "COLUMNS", block[1])
    prints = _prints(80, seed=5)
    others, given = prints[::3], np.delete(prints, np.s_[::3], axis=0)
    found = nearest(given, others)
    for mark, place, distance in zip(given, found.place, found.distance, strict=True):
        near = [o for o in others if _is_near(mark, o, 8, 32)]
        assert (place >= 0) == bool(near)
        if near:
            bits = [int(np.bitwise_count(mark[1:] ^ o[1:]).sum(dtype=int)) for o in near]
            assert distance == min(bits)
            assert (np.bitwise_count(mark[1:] ^ others[place, 1:])).sum(dtype=int) == distance
    assert (found.place >= 0).any()


def test_nothing_to_compare_is_no_error() -> None:
    nothing = similarity.stacked([])
    assert group_similar(nothing) == []
    assert nearest(_prints(4, 0), nothing).place.tolist() == [-1] * 4
    assert len(nearest(nothing, _prints(4, 0)).place) == 0


def test_copies_without_number_are_one_group() -> None:
    # 20,000 equal photos are 200 million pairs, which nobody may collect.
    (group,) = group_similar(np.repeat(_prints(1, 0), 20_000, axis=0))
    assert len(group) == 20_000


def _saved(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each.resize((90, 70), Image.Resampling.BILINEAR),
        lambda each: _saved(each, 40),
        lambda each: each.convert("L").convert("RGB"),
        lambda each: ImageEnhance.Brightness(each).enhance(1.15),
        lambda each: each.resize((1200, 933), Image.Resampling.BICUBIC),
    ],
    ids=["smaller", "JPEG", "grey", "brighter", "larger"],
)
def test_a_changed_copy_is_near_and_another_image_is_not(change) -> None:
    images = [draw_scene(number) for number in range(6)]
    prints = np.stack([fingerprint(each) for each in (*images, change(images[2]))])
    assert [group.tolist() for group in group_similar(prints)] == [[2, 6]]


def test_an_image_of_one_colour_has_a_fingerprint() -> None:
    flat = [fingerprint(Image.new("RGB", (20, 10), colour)) for colour in ("red", "white")]
    assert flat[0].shape == (similarity.WORDS,)
    assert fingerprint(draw_image(0, 0, (1, 1))).dtype == np.uint64
