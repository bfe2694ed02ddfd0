"""A gallery's figures, on vectors for which they can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import InputError
from pplcnet.gallery import evaluation as module
from pplcnet.gallery.changing import write_gallery
from pplcnet.gallery.evaluation import LabelledVector, evaluate_gallery
from pplcnet.gallery.gallery import Gallery
from pplcnet.gallery.parts import Row
from pplcnet.runtime.embedding import unit_length
from tests.gallery.vectors import NETWORK, SIZE, cloud, rows


@pytest.fixture
def axes(tmp_path: Path) -> Gallery:
    """Two photos of "x" at 0 and 10 degrees, one of "y" at 90."""
    placed = [("x", 0), ("x", 10), ("y", 90)]
    made = [Row(label, f"{label}/{at}", f"{at:032x}", _at(at)) for label, at in placed]
    return write_gallery(tmp_path / "g", NETWORK, 2, made, false_acceptance=0.3)


def _at(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return unit_length(np.array([np.cos(angle), np.sin(angle)], np.float32))


def test_figures_by_hand(axes: Gallery) -> None:
    photos = [
        LabelledVector("x", _at(4)),  # nearest x, x
        LabelledVector("x", _at(60)),  # nearest y, then x: AP@2 = (0 + 1/2) / 2
        LabelledVector("y", _at(95)),
        LabelledVector("z", _at(180)),
        LabelledVector("z", _at(270)),
    ]
    found = evaluate_gallery(axes, photos)
    assert (found.known, found.unknown) == (3, 2)
    assert found.recall_at_1.value == 2 / 3
    assert found.mean_average_precision_at_r == pytest.approx((1 + 0.25 + 1) / 3)
    assert found.auroc == 1.0
    assert found.false_acceptance_at_95 == 0.0
    assert found.false_acceptance.value == 0.0
    assert found.right.of == 5
    values = found.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["recall_at_1"]["photos"] == 3
    assert "recall@1             0.6667" in found.to_text()


def test_the_threshold_decides_what_is_accepted(tmp_path: Path) -> None:
    gallery = write_gallery(tmp_path / "g", NETWORK, SIZE, rows())
    known = [
        LabelledVector(f"class_{label}", each)
        for label in range(4)
        for each in cloud(label, 9, seed=1)
    ]
    unknown = [LabelledVector("other", each) for each in cloud(9, 20)]
    found = evaluate_gallery(gallery, [*known, *unknown])
    best = [
        each.matches[0] for each in gallery.search_many(np.stack([each.vector for each in known]))
    ]
    is_in = [each.similarity >= gallery.threshold for each in best]
    assert found.false_rejection.right == is_in.count(False)
    rejected = [each.label for each in gallery.search_many(cloud(9, 20))].count(None)
    assert found.false_acceptance.right == 20 - rejected
    right = sum(
        ok and each.label == photo.label for ok, each, photo in zip(is_in, best, known, strict=True)
    )
    assert found.right.right == right + rejected


def test_chunks_do_not_change_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = write_gallery(tmp_path / "g", NETWORK, SIZE, rows(spread=1.2))
    photos = [
        LabelledVector(f"class_{label}", each)
        for label in range(6)
        for each in cloud(label, 7, seed=1, spread=1.2)
    ]
    whole = evaluate_gallery(gallery, photos)
    monkeypatch.setattr(module, "CHUNK", 5)
    assert evaluate_gallery(gallery, photos) == whole
    assert 0.3 < whole.recall_at_1.value < 1


def test_figures_without_their_photos_are_none(axes: Gallery) -> None:
    known = evaluate_gallery(axes, [LabelledVector("x", _at(4))])
    assert known.auroc is None
    assert known.false_acceptance.value is None
    assert known.to_dict()["auroc"] is None
    unknown = evaluate_gallery(axes, [LabelledVector("z", _at(4))])
    assert unknown.recall_at_1.value is None
    assert unknown.mean_average_precision_at_r is None
    assert "recall@1             -" in unknown.to_text()
    with pytest.raises(InputError, match="no photos to evaluate"):
        evaluate_gallery(axes, [])
