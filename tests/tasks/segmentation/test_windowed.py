"""Windows over a large image: every pixel's class is that of the mean of what covers it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.windows import Window, windows_over
from pplcnet.tasks.segmentation.head import build_segmenter
from pplcnet.tasks.segmentation.resizing import resize
from pplcnet.tasks.segmentation.windowed import class_map_of_windows, mean_logits, parts_of
from pplcnet.weights.mapping import load_state_dict
from pplcnet.weights.segmentation_names import to_layer_names
from tests.conformance import reference

INPUT = (32, 40)


def _answers(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> list:
    generator = np.random.default_rng(5)
    found = []
    for place in windows_over(size, window, stride):
        height, width = place.bottom - place.top, place.right - place.left
        geometry = Geometry((width, height), (INPUT[1] / width, INPUT[0] / height))
        found.append((place, generator.standard_normal((4, 5, 3)).astype(np.float32), geometry))
    return found


@pytest.mark.parametrize(
    ("size", "window", "stride"),
    [
        ((70, 90), (32, 40), (24, 30)),
        ((70, 90), (32, 40), (10, 13)),
        ((70, 90), (32, 40), (32, 40)),
        ((20, 200), (32, 40), (8, 40)),
        ((20, 30), (32, 40), (32, 40)),
    ],
)
def test_it_is_the_argmax_of_the_mean_of_whole_logits(
    size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]
) -> None:
    answers = _answers(size, window, stride)
    total, count = np.zeros((*size, 3)), np.zeros((*size, 1))
    for place, logits, geometry in answers:
        part = np.s_[place.top : place.bottom, place.left : place.right]
        total[part] += resize(logits, geometry.size[::-1])
        count[part] += 1
    mean = total / count
    seen = np.zeros(size, int)
    for rows, columns, covering in parts_of(answers):
        part = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        seen[part] += 1
        found = mean_logits(covering, rows, columns, INPUT)
        np.testing.assert_allclose(found, mean[part], rtol=0, atol=1e-5)
    assert (seen == 1).all()
    best = np.sort(mean, axis=2)
    is_clear = best[..., 2] - best[..., 1] > 1e-4
    found = class_map_of_windows(size, answers, INPUT)
    np.testing.assert_array_equal(found[is_clear], mean.argmax(2)[is_clear])


def test_windows_that_are_done_are_let_go() -> None:
    answers = _answers((400, 90), (32, 40), (24, 30))
    most = max(len(covering) for _, _, covering in parts_of(iter(answers)))
    assert most <= 4


IMAGE = np.random.default_rng(reference.INPUT_SEED).standard_normal((1, 3, 200, 300))
IMAGE = IMAGE.astype("float32").transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def network(shared: Path) -> keras.Model:
    """In a trained network's place, one with the reference's weights."""
    original = reference.load(shared, "seg_mobileseg_pplcnet_x0_5")
    network = build_segmenter("mobileseg_pplcnet_x0_5", classes=19, image_size=None)
    load_state_dict(network, to_layer_names(original.weights()), source="the reference")
    return network


@pytest.fixture(scope="module")
def modes(shared: Path) -> dict[str, np.ndarray]:
    folder = shared / "reference"
    with np.load(folder / "seg_inference_modes_mobileseg_pplcnet_x0_5.npz") as file:
        return dict(file)


def _logits(network: keras.Model, image: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(network(image, training=False))[0]


def _check(whole: np.ndarray, mode: str, expected: dict[str, np.ndarray]) -> None:
    """Whether logits (200, 300, 19) are the original's."""
    limit = 1e-4 * float(expected[f"{mode}_absmax"])
    parts = {
        "every8": whole[::8, ::8], "corner": whole[:4, :4], "far_corner": whole[-4:, -4:]
    }  # fmt: skip
    for part, found in parts.items():
        difference = found.transpose(2, 0, 1) - expected[f"{mode}_{part}"][0]
        assert np.abs(difference).max() <= limit, (mode, part)


def test_windows_are_those_of_the_original(
    network: keras.Model, modes: dict[str, np.ndarray]
) -> None:
    for mode, window, stride in (
        ("whole", (200, 300), (200, 300)),
        ("windows_crop128x96_stride96x64", (96, 128), (64, 96)),
        ("windows_crop400x400_stride100x100", (400, 400), (100, 100)),
    ):
        answers, size = [], window
        for place in windows_over((200, 300), window, stride):
            part = IMAGE[:, place.top : place.bottom, place.left : place.right]
            size = part.shape[1:3]
            answers.append((place, _logits(network, part), Geometry(size[::-1])))
        whole = np.empty((200, 300, 19), np.float32)
        for rows, columns, covering in parts_of(answers):
            whole[rows.start : rows.stop, columns.start : columns.stop] = mean_logits(
                covering, rows, columns, size
            )
        _check(whole, mode, modes)
        classes = class_map_of_windows((200, 300), answers, size)[::4, ::4]
        assert (classes == modes[f"{mode}_argmax_every4"][0]).mean() > 0.999


@pytest.mark.parametrize(
    ("mode", "scales"), [("flip", (1.0,)), ("scales_075_100_125_flip", (0.75, 1.0, 1.25))]
)
def test_mirror_images_and_scales_are_those_of_the_original(
    network: keras.Model, modes: dict[str, np.ndarray], mode: str, scales: tuple[float, ...]
) -> None:
    base, whole = (200, 300), Window(0, 0, 300, 200)
    answers, direct = [], []
    for scale in scales:
        height, width = (int(side * scale + 0.5) for side in base)
        image = resize(IMAGE[0], (height, width))[np.newaxis]
        both = _logits(network, image), _logits(network, image[:, :, ::-1])
        # Mirrored back and averaged while they are small.
        own = Geometry(base[::-1], (width / 300, height / 200))
        same = own.then((300 / width, 200 / height), (0, 0))
        mean = (both[0] + both[1][:, ::-1]) / 2
        # The original enlarges logits to its input first, and these to the photo.
        answers.append((whole, resize(mean, (height, width)), same))
        direct.append((whole, mean, same))
    _check(mean_logits(answers, range(200), range(300), base), mode, modes)
    for found in (answers, direct):
        classes = class_map_of_windows(base, found, base)[::4, ::4]
        assert (classes == modes[f"{mode}_argmax_every4"][0]).mean() > 0.999
