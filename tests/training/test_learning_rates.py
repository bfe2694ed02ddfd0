"""The learning-rate range test: its range, its files, its suggestions."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.errors import RecipeError
from pplcnet.recipe.recipe import Recipe
from pplcnet.training import learning_rates
from pplcnet.training.batch_sizes import sizes_of_batches
from pplcnet.training.learning_rates import RangeTest, draw_range_test, run_range_test

pytestmark = pytest.mark.usefixtures("shallow_networks")

SMALL = ["--model", "mobilenetv1_x0_25", "--image-size", "32", "--batch-size", "9"]


def test_the_losses_are_written_drawn_and_suggest_a_rate_within_the_range(
    common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["train", str(common_photos), "--out", str(out), *SMALL, "--find-learning-rate"]
    assert main(command) == 0
    assert {each.name for each in out.iterdir()} == {"learning_rates.csv", "learning_rates.png"}
    with (out / "learning_rates.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == sorted(set(rates))
    assert rates[0] == 1e-4
    assert rates[-1] <= 32
    assert len(rates) <= 100
    printed = capsys.readouterr().out
    (suggestion,) = re.findall(r"--set learning_rate=(\S+)", printed)
    (higher,) = re.findall(r"^ +(\S+) \(.*may train faster", printed, re.MULTILINE)
    assert rates[0] <= float(suggestion) <= float(higher) <= rates[-1]
    with Image.open(out / "learning_rates.png") as image:
        assert min(image.size) > 300


@pytest.mark.parametrize(
    ("changes", "highest"),
    [({}, 21.3333), ({"optimizer": "adamw", "learning_rate": 5.0}, 0.16)],
    ids=["sgd", "adamw"],
)
def test_the_range_ends_at_ten_times_the_default_whatever_the_recipe_says(
    common_photos: Path, changes: dict[str, object], highest: float
) -> None:
    small = {"model": "mobilenetv1_x0_25", "image_size": [32, 32], "batch_size": 9, "weights": None}
    recipe = Recipe().changed(small | changes)
    test = run_range_test(Dataset.open(common_photos), recipe, steps=3)
    rises = test.learning_rates[1] / test.learning_rates[0]
    assert rises == pytest.approx((highest / 1e-4) ** 0.5)
    assert np.isfinite(test.losses).all()


def test_the_suggestions_are_where_the_loss_falls_fastest_and_a_tenth_of_the_minimum() -> None:
    rates = np.logspace(-4, 1, 51)
    loss = 2 - 1 / (1 + np.exp(-8 * (np.log10(rates) + 2))) + 40 * np.maximum(0, rates - 1)
    test = RangeTest(rates, loss, loss)
    assert test.steepest == pytest.approx(1e-2)
    assert test.tenth_of_lowest == pytest.approx(rates[loss.argmin()] / 10)
    rising = RangeTest(rates, rates, rates)
    assert rising.tenth_of_lowest == rates[0]
    assert rising.steepest == rates[0]


@pytest.mark.parametrize(("steps", "lines"), [(1, 2), (-1, 0)], ids=["falling", "rising"])
def test_the_picture_shows_a_suggestion_only_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, lines: int
) -> None:
    from matplotlib.axes import Axes

    drawn = []
    monkeypatch.setattr(Axes, "axvline", lambda axes, rate, **options: drawn.append(rate))
    losses = np.linspace(2, 1, 30)[::steps]
    test = RangeTest(np.logspace(-4, 0, 30), losses, losses)
    draw_range_test(test, tmp_path / "rates.png")
    assert len(drawn) == lines
    assert test.falls == bool(lines)
    assert test.has_diverged


@pytest.mark.parametrize("other", [["--resume"], ["--overwrite"], ["--search", "1m"]])
def test_what_belongs_to_training_is_refused(
    other: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "photos", "--out", "nowhere", "--find-learning-rate", *other]) == 2
    assert f"--find-learning-rate does not train; leave out {other[0]}" in capsys.readouterr().err


def test_every_step_has_images_of_the_recipe_s_size(
    common_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Built(Exception):  # noqa: N818 - it is no error
        pass

    def build(train_set: Dataset, recipe: Recipe, **_: object) -> None:
        raise Built(recipe)

    monkeypatch.setattr(learning_rates, "build_trainable", build)
    recipe = Recipe(model="picodet_xs", image_size=(96, 96), progressive_resizing=0.5).changed(
        {"multi_scale": 2}
    )
    with pytest.raises(Built) as stopped:
        run_range_test(Dataset.open(common_photos), recipe)
    (tested,) = stopped.value.args
    assert sizes_of_batches(tested) == {(96, 96)}


def test_the_range_test_is_of_plain_training(common_photos: Path) -> None:
    recipe = Recipe(model="pplcnet_x0_25", image_size=(32, 32), distillation="mutual")
    with pytest.raises(RecipeError, match="needs plain training"):
        run_range_test(Dataset.open(common_photos), recipe)
