"""Distillation: what the losses are, who may teach, and that a student learns without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest
from pplcnet.bundle.writing import write_bundle
from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError, RecipeError, UnknownNameError
from pplcnet.exporting.export import export
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.classification.distillation import (
    DistillationLoss,
    LabelledAccuracy,
    student_network,
)
from pplcnet.tasks.classification.teachers import open_teacher
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.pictures import preprocessing_of
from pplcnet.training.train import train
from pplcnet.weights.bundled import KERAS_FILE, pack_weights, restore_model
from tests.conftest import draw_image

pytestmark = pytest.mark.usefixtures("shallow_networks")

# Of the networks with the quickest graphs.
BASE = {
    "model": "mobilenetv1_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 1, "seed": 5,
    "learning_rate": 0.4,
}  # fmt: skip
HARD = keras.losses.CategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def parts(common_photos: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(common_photos).split(0.25, seed=0)


@pytest.fixture(scope="module")
def teacher(parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another family and size than the student, random, and exported."""
    keras.utils.set_random_seed(5)
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=48)
    manifest = Manifest(
        classes=parts[0].classes,
        preprocessing=Preprocessing(image_size=(48, 48)),
        network={"name": "pplcnet_x0_25", "options": {}},
        variants={"keras": {"file": KERAS_FILE}},
    )
    path = tmp_path_factory.mktemp("teacher") / "model.bundle"
    bundle = write_bundle(path, manifest, {KERAS_FILE: pack_weights(model)})
    return export(bundle, [image.path for image in parts[1].images]).path


def _softmax(logits: np.ndarray) -> np.ndarray:
    values = np.exp(logits - logits.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)


def _divergence(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * np.log(one / other)).sum(axis=1)


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    logits, taught = generator.standard_normal((2, 5, 3)).astype(np.float32)
    return np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]], taught, logits


def test_soft_is_labels_and_softened_answers_by_weight(answers) -> None:
    targets, taught, logits = answers
    recipe = Recipe(teacher="t", distillation_weight=0.6, distillation_temperature=4.0)
    found = DistillationLoss(recipe, 3, HARD).call(np.hstack([targets, taught]), logits)
    soft = _divergence(_softmax(taught / 4), _softmax(logits / 4)) * 16
    hard = -np.log((_softmax(logits) * targets).sum(axis=1))
    np.testing.assert_allclose(found, 0.6 * soft + 0.4 * hard, rtol=1e-4)


def test_ssld_is_symmetric_and_blind_to_labels(answers) -> None:
    targets, taught, logits = answers
    loss = DistillationLoss(Recipe(teacher="t", distillation="ssld"), 3, HARD)
    found = np.asarray(loss.call(np.hstack([targets, taught]), logits))
    np.testing.assert_allclose(found, loss.call(np.hstack([targets * 0, taught]), logits))
    np.testing.assert_allclose(found, loss.call(np.hstack([targets, logits]), taught), rtol=1e-5)
    assert np.asarray(loss.call(np.hstack([targets, logits]), logits)).max() < 1e-6


def test_mutual_learning_moves_each_towards_the_other_and_the_label(answers) -> None:
    targets, one, other = answers
    loss = DistillationLoss(Recipe(distillation="mutual", distillation_weight=0.5), 3, HARD)
    found = loss.call(targets, np.hstack([one, other]))
    hard = sum(-np.log((_softmax(each) * targets).sum(axis=1)) for each in (one, other))
    peers = _divergence(_softmax(one), _softmax(other)) + _divergence(
        _softmax(other), _softmax(one)
    )
    np.testing.assert_allclose(found, 0.5 * hard + 0.5 * peers, rtol=1e-4)


def test_features_add_their_mean_square_distance(answers) -> None:
    targets, taught, logits = answers
    features = np.ones((5, 2), np.float32)
    recipe = Recipe(teacher="t", distillation_weight=0.5)
    without = DistillationLoss(recipe, 3, HARD).call(np.hstack([targets, taught]), logits)
    with_features = DistillationLoss(recipe, 3, HARD, features=2).call(
        np.hstack([targets, taught, features * 3]), np.hstack([logits, features])
    )
    np.testing.assert_allclose(np.asarray(with_features) - np.asarray(without), 2.0, rtol=1e-5)


def test_an_exported_teacher_answers_as_its_keras_network_in_the_students_order(
    teacher: Path, parts
) -> None:
    recipe = Recipe().changed(BASE | {"teacher": str(teacher)})
    classes = parts[0].classes
    turned = tuple(reversed(classes))
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), np.uint8)
    found = open_teacher(recipe, classes, preprocessing_of(recipe))
    other = open_teacher(recipe, turned, preprocessing_of(recipe))
    assert found
    assert other
    bundle = Bundle.open(teacher)
    expected = restore_model(bundle).predict(
        bundle.manifest.preprocessing.normalize(images), verbose=0
    )
    np.testing.assert_allclose(found.answers(images), expected, atol=1e-3)
    np.testing.assert_allclose(other.answers(images), expected[:, ::-1], atol=1e-3)
    assert found.answers(images[:, ::2, ::2]).shape == (4, 3)


def test_a_keras_file_may_teach_whether_it_ends_in_softmax_or_not(parts, tmp_path: Path) -> None:
    recipe = Recipe().changed(BASE | {"teacher": str(tmp_path / "t.keras")})
    model = build_model("pplcnet_x0_25", num_classes=3, image_size=32)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    seen = []
    for output in (model.output, keras.layers.Softmax()(model.output)):
        keras.Model(model.input, output).save(tmp_path / "t.keras")
        found = open_teacher(recipe, parts[0].classes, preprocessing_of(recipe))
        assert found
        seen.append(_softmax(found.answers(images)))
    np.testing.assert_allclose(*seen, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"teacher": "nowhere.bundle"}, "no such file or folder; the teacher"),
        ({"distillation_layers": "nowhere:avg_pool"}, "unknown layer to distil from 'nowhere'"),
        ({"distillation_layers": "conv_bn:avg_pool"}, "height and width must be the same"),
        ({"unlabelled": "EMPTY"}, "no photos there"),
    ],
    ids=["no teacher", "no layer", "other size", "no photos"],
)
def test_what_cannot_teach_is_said(
    teacher: Path, parts, tmp_path: Path, fields: dict[str, str], reason: str
) -> None:
    if "unlabelled" in fields:
        fields = {"unlabelled": str(tmp_path)}
    recipe = Recipe().changed(BASE | {"teacher": str(teacher)} | fields)
    with pytest.raises((InputError, RecipeError, UnknownNameError), match=reason):
        train(recipe, *parts, out=tmp_path / "run")


def test_a_teacher_of_other_classes_is_refused(teacher: Path) -> None:
    recipe = Recipe().changed(BASE | {"teacher": str(teacher)})
    with pytest.raises(InputError, match=r"the teacher knows .* the photos have x, y"):
        open_teacher(recipe, ("x", "y"), preprocessing_of(recipe))


def test_a_multilabel_bundle_is_no_teacher(common_bundle: Path, parts, tmp_path: Path) -> None:
    opened, path = Bundle.open(common_bundle), tmp_path / "x.bundle"
    files = {name: opened.read(name) for name in opened.manifest.files}
    write_bundle(path, replace(opened.manifest, task="multilabel"), files)
    recipe = Recipe().changed(BASE | {"teacher": str(path)})
    with pytest.raises(InputError, match="the teacher must be a single-label classifier"):
        open_teacher(recipe, parts[0].classes, preprocessing_of(recipe))


def test_photos_without_classes_bring_the_teachers_answers_alone(teacher: Path, parts) -> None:
    recipe = Recipe().changed(BASE | {"teacher": str(teacher)})
    guide = open_teacher(recipe, parts[0].classes, preprocessing_of(recipe))
    extra = list(find_images(parts[1].root))[:9]
    batches = TrainingBatches(
        parts[0],
        recipe,
        preprocessing_of(recipe),
        target_columns=guide.answers,
        unlabelled=extra,
    )
    targets = np.concatenate([batch.targets for batch in batches.epoch(0)])
    assert len(targets) == (len(parts[0]) + 9) // 9 * 9
    assert targets.shape[1] == 6
    unlabelled = targets[targets[:, :3].sum(axis=1) == 0]
    assert len(unlabelled)
    assert np.abs(unlabelled[:, 3:]).max() > 0


def test_images_without_a_class_count_neither_as_right_nor_as_wrong() -> None:
    logits = np.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)
    targets = np.zeros((4, 6), np.float32)
    targets[0, 0] = targets[1, 2] = 1
    metric = LabelledAccuracy(3)
    metric.update_state(targets, logits)
    assert float(metric.result()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "fields",
    [
        {"teacher": "TEACHER", "distillation_layers": "avg_pool:avg_pool"},
        {"distillation": "mutual"},
    ],
    ids=["features", "mutual"],
)
def test_a_student_has_the_catalogs_network_whatever_taught_it(
    teacher: Path, parts, tmp_path: Path, fields: dict[str, str]
) -> None:
    fields = {name: str(teacher) if each == "TEACHER" else each for name, each in fields.items()}
    result = train(Recipe().changed(BASE | fields), *parts, out=tmp_path)
    model = restore_model(Bundle.open(result.bundle))
    plain = build_model("mobilenetv1_x0_25", num_classes=3, image_size=32)
    assert [each.shape for each in model.weights] == [each.shape for each in plain.weights]
    assert len(result.history) == 1


def test_mutual_students_are_two(parts) -> None:
    one, other = (build_model("pplcnet_x0_25", num_classes=3, image_size=32) for _ in "ab")
    both = student_network(one, Recipe(distillation="mutual"), peer=other)
    assert both.output_shape == (None, 6)
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(both(images), np.hstack([one(images), other(images)]), atol=1e-5)


@pytest.mark.slow
def test_the_command_distils_with_unlabelled_photos(
    teacher: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    for number in range(6):
        draw_image(number % 3, 100 + number).save(extra / f"{number}.png")
    labelled = next(iter(find_images(common_photos)))
    (extra / "copy.png").write_bytes(labelled.read_bytes())
    (extra / "cut.png").write_bytes(labelled.read_bytes()[:300])
    command = ["distill", str(common_photos), "--teacher", str(teacher), "--student",
               "pplcnet_x0_25", "--distillation", "ssld", "--unlabelled", str(extra),
               "--image-size", "32", "--epochs", "1", "--out", str(tmp_path / "run")]  # fmt: skip
    assert main(command) == 2
    refused = capsys.readouterr().err
    assert "1 of its photos cannot be read" in refused
    assert "cut.png" in refused
    assert main([*command, "--skip-broken"]) == 0
    printed = capsys.readouterr()
    assert "top-1" in printed.out
    assert "6 unlabelled photos to learn from; 1 copy of labelled photos left out" in (printed.err)
    assert "cut.png" in (tmp_path / "run" / "skipped.csv").read_text()
    recipe = Bundle.open(tmp_path / "run" / "model.bundle").manifest.provenance["recipe"]
    assert recipe["teacher"] == str(teacher)
    assert recipe["distillation"] == "ssld"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "no teacher"),
        (["--teacher", "nowhere"], "nowhere: no such file or folder; the teacher"),
        (["--teacher", "TEACHER", "--unlabelled", "nowhere"], "nowhere: no such folder"),
        (["--unlabelled", "x", "--distillation", "mutual"], "it is needed with unlabelled"),
    ],
    ids=["nobody", "no file", "no folder", "mutual without labels"],
)
def test_wrong_arguments_are_one_line(
    teacher: Path, common_photos: Path, tmp_path: Path, capsys, given: list[str], reason: str
) -> None:
    given = [str(teacher) if each == "TEACHER" else each for each in given]
    assert main(["distill", str(common_photos), "--out", str(tmp_path / "run"), *given]) == 2
    assert reason in capsys.readouterr().err
