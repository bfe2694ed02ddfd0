"""A detector in INT8: which layers stay in float, by what its AP loses."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import pplcnet
from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.cli.main import main
from pplcnet.data.annotations import Boxes
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.exporting.int8_ways import WAYS
from pplcnet.exporting.quantization import quantize
from pplcnet.exporting.translation import to_onnx
from pplcnet.imaging.decoding import decode
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.tasks import find

BY_NAME = {way.name: way for way in WAYS}


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    from pplcnet.tasks.detection.head import build_picodet

    task, preprocessing = find("detection"), Preprocessing((64, 64), resize="stretch")
    classes = ("cat", "dog")
    outputs = task.outputs(classes, (64, 64), "picodet_x0_25")
    manifest = Manifest(classes, preprocessing, {}, task=task.name, outputs=outputs)
    return to_onnx(build_picodet("picodet_x0_25", classes=2, image_size=64), manifest, batch=1)


def test_from_stride_8_the_trunk_s_first_stages_and_the_decoding_stay_in_float(network) -> None:
    in_float = BY_NAME["from stride 8"].in_float(network, find("detection").head_inputs)
    convolutions = [node.name for node in network.graph.node if node.op_type == "Conv"]
    stay = [name for name in convolutions if name in in_float]
    assert stay[0] == "conv1_conv"
    assert {name.partition("_")[0] for name in stay} == {"conv1", "blocks2", "blocks3"}
    assert {"Softmax", "Sqrt"} <= {
        node.op_type for node in network.graph.node if node.name in in_float
    }


@pytest.fixture
def own_answers(shared: Path, tmp_path: Path) -> tuple[Path, Dataset]:
    """The published detector, and photos labelled with the boxes that it shows."""
    folder, place = shared / "reference/picodet/xs_320_coco", tmp_path / "xs.bundle"
    command = ["convert", folder / "weights_bnfolded.npz", "--model", "picodet_xs"]
    assert main([*map(str, [*command, "--photos", folder / "photos", "--out", place])]) == 0
    detector = pplcnet.Detector(place)
    images = []
    for path in sorted((folder / "photos").iterdir()):
        found = detector.predict(path).above(0.4)
        size = decode(path).size
        boxes = Boxes.make(found.xyxy, found.class_id, size=size)
        images.append(LabelledImage(path, boxes))
    return place, Dataset(folder, detector.classes, tuple(images), task="detection")


@pytest.mark.slow
def test_a_detector_in_int8_finds_the_same_where_its_first_stages_stay_in_float(
    own_answers: tuple[Path, Dataset],
) -> None:
    pytest.importorskip("nncf", reason="INT8 needs the quantize extra")
    bundle, photos = own_answers
    paths = [image.path for image in photos.images]
    lost = {}
    for name in ("all layers", "from stride 8"):
        quantize(
            bundle, photos, calibration=paths, max_drop=1, way=BY_NAME[name], with_control=False
        )
        figures = Bundle.open(bundle).variant("int8")["accuracy"]
        lost[name] = figures["float32_box_map"] - figures["box_map"]
    assert lost["from stride 8"] < 0.1
    assert lost["all layers"] > lost["from stride 8"] + 0.05
    exact, quick = (pplcnet.Detector(bundle, precision=each) for each in ("float32", "int8"))
    for path in paths:
        expected, found = (each.predict(path).above(0.5) for each in (exact, quick))
        assert set(found.labels) == set(expected.labels)
