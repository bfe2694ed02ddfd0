"""Validation hands the judge a network's outputs by name, however many there are."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.training.validation import Score, Validation, named_outputs


def test_several_outputs_reach_the_judge_by_name() -> None:
    images = keras.Input((4, 4, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, [pooled, keras.layers.Flatten()(images)])
    seen = {}

    def judged(parts):
        parts = list(parts)
        seen.update({name: np.concatenate([each[name] for each in parts]) for name in parts[0]})
        return SimpleNamespace(value=0.5, loss=2.0)

    judge = SimpleNamespace(judged=judged)
    chunks = [np.zeros((count, 4, 4, 3), np.uint8) for count in (70, 3)]
    preprocessing = Preprocessing(image_size=(4, 4))
    validation = Validation(model, chunks, judge, ("mean", "pixels"), preprocessing)
    assert validation.score() == Score(0.5, 2.0)
    assert seen["mean"].shape == (73, 3)
    np.testing.assert_allclose(seen["pixels"][0], preprocessing.normalize(chunks[1])[0].ravel())


def test_outputs_are_one_array_a_list_or_a_mapping() -> None:
    one, other = np.zeros((2, 3)), np.ones((2, 4))
    assert list(named_outputs(one, ["logits"])) == ["logits"]
    for outputs in ([one, other], (one, other), {"b": other, "a": one}):
        found = named_outputs(outputs, ["a", "b"])
        assert found["a"].shape == (2, 3)
        assert found["b"].shape == (2, 4)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        named_outputs([one, other], ["a"])


@pytest.mark.parametrize(
    ("score", "other", "is_better"),
    [
        ((0.5, 9.0), (0.4, 1.0), True),
        ((0.5, 1.0), (0.5, 2.0), True),
        ((0.5, 1.0), (0.5, 1.0), False),
    ],
)
def test_a_score_is_better_by_the_measure_then_by_the_loss(score, other, is_better: bool) -> None:
    assert Score(*score).is_better_than(Score(*other)) is is_better
