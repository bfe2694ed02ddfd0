"""Training: it learns, keeps the best epoch, and goes on after any kind of end."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError, InputError, TrainingInterrupted
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.audit import audit
from pplcnet.training.interruption import interrupts_deferred
from pplcnet.training.train import train
from pplcnet.weights import native
from pplcnet.weights.bundled import restore_model
from tests.training.steps import after_each_step

pytestmark = pytest.mark.usefixtures("shallow_networks")

# Of the networks with the quickest graphs.
SETTINGS = {
    "model": "mobilenetv1_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 4, "seed": 5,
    "crop_scale": [0.7, 1.0], "horizontal_flip": False, "learning_rate": 0.4,
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(common_photos: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(common_photos).split(0.25, seed=0)


@pytest.fixture(scope="module")
def whole(parts, tmp_path_factory: pytest.TempPathFactory):
    """A run that nothing interrupted."""
    recipe = Recipe().changed(SETTINGS | {"tensorboard": True})
    return train(recipe, *parts, out=tmp_path_factory.mktemp("whole"))


def _values(bundle: Path) -> dict[str, np.ndarray]:
    return native.get_values(restore_model(Bundle.open(bundle)))


def _assert_same(one: Path, other: Path) -> None:
    first, second = _values(one), _values(other)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_the_bundle_holds_the_best_epoch(whole, parts) -> None:
    accuracies = [row["validation_top1"] for row in whole.history]
    assert whole.validation_score == max(accuracies)
    assert accuracies[whole.best_epoch - 1] == max(accuracies)
    model = restore_model(Bundle.open(whole.bundle))
    preprocessing = Bundle.open(whole.bundle).manifest.preprocessing
    images = np.stack([preprocessing(image.path) for image in parts[1].images])
    answers = model(preprocessing.normalize(images), training=False).numpy().argmax(axis=1)
    right = np.mean(answers == [image.shown[0] for image in parts[1].images])
    assert right == pytest.approx(whole.validation_score, abs=1e-4)


def test_history_has_a_line_an_epoch(whole) -> None:
    with (whole.bundle.parent / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert all(0 < float(row["loss"]) < 10 for row in rows)
    assert all(float(row["images_per_second"]) > 0 for row in rows)
    assert float(rows[-1]["learning_rate"]) == 0


def test_provenance_says_what_was_trained_on_what(whole, parts) -> None:
    made_of = Bundle.open(whole.bundle).manifest.provenance
    assert made_of["recipe"]["seed"] == 5
    assert made_of["dataset"]["train_images"] == len(parts[0])
    assert made_of["versions"]["keras"] == keras.__version__


@pytest.mark.parametrize(
    "when", ["within an epoch", pytest.param("between epochs", marks=pytest.mark.slow)]
)
def test_ctrl_c_saves_and_resuming_ends_with_the_same_weights(
    whole, parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    recipe = Recipe().changed(SETTINGS)
    steps = 3  # of 27 images, 9 a step
    stop_after = 4 if when == "within an epoch" else 2 * steps
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if done == stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    after_each_step(monkeypatch, count)
    with pytest.raises(TrainingInterrupted, match="The state is saved") as stopped:
        train(recipe, *parts, out=tmp_path)
    assert stopped.value.run == str(tmp_path)
    assert done == stop_after
    resumed = train(recipe, *parts, out=tmp_path, resume=True)
    assert done == 4 * steps
    _assert_same(resumed.bundle, whole.bundle)
    strip = [[{k: v for k, v in row.items() if k != "images_per_second"} for row in each.history]
             for each in (resumed, whole)]  # fmt: skip
    assert strip[0] == strip[1]


ROOT = Path(__file__).resolve().parents[2]
ALONE = """
import sys
from pathlib import Path
from pplcnet.data.dataset import Dataset
from pplcnet.training.train import train
from pplcnet.recipe.recipe import Recipe
from tests.shallow import shallow_networks
photos, backbones, *folders = map(Path, sys.argv[1:])
parts = Dataset.open(photos).split(0.25, seed=0)
report = lambda line: print(line, flush=True)
with shallow_networks(backbones):
    for out in folders:
        train(Recipe().changed({settings}), *parts, out=out, resume=True, report=report)
"""


def test_sigkill_loses_at_most_an_epoch_and_resuming_ends_with_the_same_weights(
    common_photos: Path, tmp_path: Path
) -> None:
    # Not in this process: what other libraries have set up here can change how TensorFlow splits
    # its sums. Epochs are short, and the process must not be at its end when it is killed.
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    script = ALONE.format(settings=SETTINGS | {"epochs": 8, "recalibrate_batchnorm": 0})
    command = [sys.executable, "-c", script, str(common_photos), str(tmp_path / "backbones")]
    started = partial(
        subprocess.Popen, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    with started([*command, str(cut)]) as process:
        finished = (line for line in process.stdout if line.startswith("epoch"))
        for _ in range(2):  # two epochs are finished and saved
            assert next(finished)
        time.sleep(0.02)  # somewhere within the third
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "model.bundle").exists()
    with started([*command, str(cut), str(whole)]) as process:
        epochs = [int(line[5:].partition("/")[0]) for line in process.stdout if line[:5] == "epoch"]
    assert process.returncode == 0
    assert 3 <= epochs[0] <= 8  # it goes on after those that were finished
    assert epochs[-8:] == list(range(1, 9))
    _assert_same(cut / "model.bundle", whole / "model.bundle")


@pytest.mark.slow
def test_a_cut_off_checkpoint_is_never_left(
    whole, parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(whole.bundle.parent / "checkpoint.npz", tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes()

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        train(Recipe().changed(SETTINGS), *parts, out=tmp_path)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_a_photo_that_changes_during_the_training_ends_it_with_the_state_before(
    whole, common_photos: Path, tmp_path: Path
) -> None:
    photos = Path(shutil.copytree(common_photos, tmp_path / "photos"))
    checked = audit(Dataset.open(photos))
    changed = photos / "class_1" / "003.png"
    content, out = changed.read_bytes(), tmp_path / "out"

    def after_an_epoch(line: str) -> None:
        if line.startswith("epoch   1"):
            changed.write_bytes((photos / "class_2" / "000.png").read_bytes())

    def run(**options):
        recipe, sets = Recipe().changed(SETTINGS), checked.dataset.split(0.25, seed=0)
        return train(recipe, *sets, out=out, before_saving=checked.raise_changed, **options)

    with pytest.raises(DatasetError, match=r"1 photo changed or disappeared.*class_1/003.png"):
        run(report=after_an_epoch)
    assert not (out / "model.bundle").exists()
    changed.write_bytes(content)
    assert len(run(resume=True).history) == 4
    _assert_same(out / "model.bundle", whole.bundle)


def test_a_state_of_version_0_1_is_read_under_the_names_of_today(
    whole, parts, tmp_path: Path
) -> None:
    arrays = dict(np.load(whole.bundle.parent / "checkpoint.npz"))
    facts = json.loads(arrays["facts"].tobytes())
    facts["accuracy_sum"] = facts.pop("metric_sums")["top1"]
    facts["best_accuracy"] = facts.pop("best_score")
    names = {"top1": "accuracy", "validation_top1": "validation_accuracy"}
    rows = facts["history"]
    facts["history"] = [{names.get(key, key): row[key] for key in row} for row in rows]
    arrays["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(tmp_path / "checkpoint.npz", **arrays)
    resumed = train(Recipe().changed(SETTINGS), *parts, out=tmp_path, resume=True)
    assert resumed.history == whole.history
    assert resumed.validation_score == whole.validation_score
    _assert_same(resumed.bundle, whole.bundle)


def test_a_state_of_another_recipe_is_refused(whole, parts, tmp_path: Path) -> None:
    shutil.copy(whole.bundle.parent / "checkpoint.npz", tmp_path)
    other = Recipe().changed(SETTINGS | {"model": "mobilenetv1_x0_5"})
    with pytest.raises(InputError, match="another recipe or version"):
        train(other, *parts, out=tmp_path, resume=True)


def test_the_two_sets_need_the_same_classes(parts, tmp_path: Path) -> None:
    other = Dataset(parts[0].root, ("x", "y", "z"), parts[1].images)
    with pytest.raises(InputError, match="same classes"):
        train("mobilenetv1_x0_25", parts[0], other, out=tmp_path)


def test_tensorboard_events_are_written(whole) -> None:
    (events,) = (whole.bundle.parent / "tensorboard").iterdir()
    assert b"validation_top1" in events.read_bytes()


def test_a_second_ctrl_c_stops_at_once() -> None:
    with interrupts_deferred() as interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
