"""A detector's boxes and scores become the objects of a photo."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks.detection.decoding import Detections, decoder
from pplcnet.tasks.detection.task import TASK

MANIFEST = Manifest(("cat", "dog"), Preprocessing((64, 64), "stretch"), {}, task="detection")
# Twice as wide as the input, and half as high.
GEOMETRY = Geometry((128, 32), (0.5, 2.0))
BOXES = [[10, 20, 30, 40], [11, 20, 31, 40], [10, 20, 30, 40], [-5, -5, 70, 70], [40, 40, 50, 50]]
SCORES = [[0.9, 0.1], [0.8, 0.0], [0.0, 0.5], [0.3, 0.0], [0.02, 0.02]]


def _decode(manifest: Manifest = MANIFEST, geometry: Geometry = GEOMETRY) -> Detections:
    outputs = {"boxes": np.float32(BOXES), "scores": np.float32(SCORES)}
    return decoder(manifest)(outputs, geometry, "photo.jpg")


def test_boxes_are_suppressed_by_class_and_lie_in_the_photo() -> None:
    found = _decode()
    assert found.labels == ("cat", "dog", "cat")
    assert found.class_id.tolist() == [0, 1, 0]
    np.testing.assert_allclose(found.confidence, [0.9, 0.5, 0.3])
    np.testing.assert_allclose(found.xyxy, [[20, 10, 60, 20]] * 2 + [[0, 0, 128, 32]])
    assert found.xyxy.dtype == found.confidence.dtype == np.float32
    assert list(found)[1] == ("dog", 0.5, (20, 10, 60, 20))


def test_answers_are_those_above_the_bundles_confidence() -> None:
    assert len(_decode()) == 3
    assert len(_decode().above()) == 2
    assert len(_decode().above(0.6)) == 1
    assert len(_decode().above(1.1)) == 0
    sure = _decode(replace(MANIFEST, decoding={"confidence": 0.7}))
    (row,) = sure.rows()
    assert row == {"label": "cat", "confidence": 0.9, "x1": 20, "y1": 10, "x2": 60, "y2": 20}
    assert tuple(row) == Detections.columns
    assert len(sure.rows(2)) == 2
    assert sure.to_text() == "cat 0.900 [20, 10, 60, 20]"
    assert sure.above(2).to_text() == "no object"
    assert len(sure.above(0.1).rows()) == 3


def test_a_manifest_sets_what_is_suppressed() -> None:
    loose = {"score_threshold": 0.01, "iou_threshold": 0.99, "most": 4}
    found = _decode(replace(MANIFEST, decoding=loose))
    assert found.labels == ("cat", "cat", "dog", "cat")


def test_boxes_in_the_padding_are_no_objects() -> None:
    found = _decode(geometry=Geometry((64, 8)))
    assert found.labels == ("cat",)
    np.testing.assert_allclose(found.xyxy, [[0, 0, 64, 8]])


def test_arrays_have_one_shape_for_every_photo() -> None:
    arrays = _decode().arrays()
    assert {name: each.shape for name, each in arrays.items()} == {
        "xyxy": (100, 4), "confidence": (100,), "class_id": (100,), "labels": (100,), "count": (1,)
    }  # fmt: skip
    assert arrays["count"].tolist() == [3]
    assert arrays["labels"][:4].tolist() == ["cat", "dog", "cat", ""]
    assert arrays["class_id"][3] == -1


def test_a_photo_that_cannot_be_read_has_no_boxes() -> None:
    broken = Detections("a.jpg", ImageError("a.jpg", "is cut off"))
    for ask in (lambda: broken.xyxy, lambda: len(broken), broken.rows):
        with pytest.raises(ImageError, match="is cut off"):
            ask()
    assert "is cut off" in repr(broken)


def test_it_is_shown_in_one_line() -> None:
    assert repr(_decode()) == "<Detections 'photo.jpg': 'cat' 0.900, 'dog' 0.500>"
    assert "dog" in _decode()._repr_html_()


def test_cells_follow_from_the_input_size() -> None:
    outputs = TASK.outputs(("a", "b", "c"), (256, 352), "picodet_xs")
    assert outputs == {"boxes": (1872, 4), "scores": (1872, 3)}


def test_answers_are_drawn_into_the_photo() -> None:
    photo = np.full((32, 128, 3), 200, np.uint8)
    drawn = np.asarray(_decode().draw(photo))
    assert drawn.shape == photo.shape
    assert (drawn[10:20, 20] != 200).any(axis=1).all()  # the left side of the box of both answers
    assert (drawn[25:, 100:] == 200).all()  # the doubtful one is left out
    assert (photo == 200).all()
    everything = np.asarray(_decode().above(0).draw(photo))
    assert (everything[31, 100:] != 200).any(axis=1).all()
