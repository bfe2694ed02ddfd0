"""The recipe fields of a task come from the task's folder, and from nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pplcnet.cli.resuming import recorded_recipe
from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.files import named_recipes
from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import ranges_of
from pplcnet.recipe.settings import field_help, parse_setting
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.tasks import TASKS, options_of

OPTIONS = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pplcnet.recipe.fields import Need, Searched
from pplcnet.recipe.task_options import TaskOptions
from pplcnet.recipe.values import Between

HUE = Need(lambda _, options: options.hue_weight > 0, "hue_weight is 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourOptions(TaskOptions):
    data: ClassVar[str] = "colour"

    hue_weight: Annotated[float, Between(0, 5)] = 1.0
    """What the hue's error counts beside the brightness's."""
    hue_bins: Annotated[int, Between(1, 64), HUE] = 8
    """Parts of the colour wheel."""
    brightness_noise: Annotated[float, Between(0, 1), Searched(0.0, 0.5)] = 0.1
    """Noise on the target."""

    def rules(self, recipe):
        is_fine = self.hue_bins <= recipe.image_size[0]
        yield "hue_bins", is_fine, "must be at most the image's height"


OPTIONS = ColourOptions
'''


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[TaskOptions]:
    """A task whose fields are known to its own folder alone."""
    folder = tmp_path / "colour_task"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "options.py").write_text(OPTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(TASKS, "colours", "colour_task")
    monkeypatch.delitem(sys.modules, "colour_task", raising=False)
    monkeypatch.delitem(sys.modules, "colour_task.options", raising=False)
    return options_of("colours")


def test_its_fields_are_set_and_read_as_all_are(colours, tmp_path: Path) -> None:
    recipe = Recipe(hue_weight=2, epochs=3)
    assert isinstance(recipe.options, colours)
    assert recipe.hue_weight == 2.0
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    assert "# What the hue's error counts beside the brightness's. 0 to 5.\n" in recipe.to_toml()
    assert Recipe.from_toml(tmp_path / "recipe.toml") == recipe
    assert Recipe().changed(dict([parse_setting("hue-weight=2"), parse_setting("epochs=3")])) == (
        recipe
    )
    with pytest.raises(UnknownNameError, match="did you mean hue_weight"):
        parse_setting("hue_wait=2")


def test_its_fields_are_checked_with_all_others(colours) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(hue_weight=7, hue_bins=48, image_size=(32, 32), dropout=2)
    for line in (
        "hue_weight is 7.0; it must be 0 to 5.",
        "hue_bins is 48; it must be at most the image's height.",
        "dropout is 2.0; it must be at least 0 and below 1.",
    ):
        assert line in str(caught.value)


def test_its_fields_are_explained_and_searched(colours) -> None:
    help_texts = field_help()
    assert help_texts["hue_bins"] == "Only for colour data. Parts of the colour wheel. 1 to 64."
    assert help_texts["mixup"].startswith("Only for single-label and multi-label data. ")
    recipe = Recipe(hue_bins=4)
    ranges = ranges_of(adapted(recipe, 500))
    assert ranges["brightness_noise"] == (0.0, 0.5)
    assert "label_smoothing" not in ranges
    assert idle_fields(recipe) == []
    assert idle_fields(recipe.changed({"hue_weight": 0})) == [
        "hue_bins has no effect: hue_weight is 0"
    ]


@pytest.mark.parametrize("name", named_recipes())
def test_a_recipe_of_pplcnet_leaves_out_what_it_does_not_have(colours, name: str) -> None:
    recipe = Recipe.named(name).changed({"hue_weight": 2})
    assert recipe == Recipe.named(name).for_options(colours).changed({"hue_weight": 2})
    assert recipe.epochs == Recipe.named(name).epochs
    assert "label_smoothing" not in recipe.to_dict()


def test_fields_that_someone_set_are_refused(colours, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("label_smoothing = 0.1")
    for recipe in (
        Recipe(label_smoothing=0.1),
        Recipe.from_toml(tmp_path / "own.toml"),
        Recipe.named("finetune").changed({"label_smoothing": 0.1}),
    ):
        with pytest.raises(RecipeError, match="label_smoothing is for single-label data; this is"):
            recipe.for_options(colours)


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("classification", {"loss", "mixup"}), ("multilabel", {"multilabel_loss", "mixup"}),
        # Younger than such folders, but nothing in them is read by the task's name.
        ("detection", set()), ("segmentation", set()),
    ],
)  # fmt: skip
def test_a_run_recorded_with_the_fields_of_every_task_goes_on(task: str, own: set[str]) -> None:
    """Run folders named all of them once, also those that had no effect."""
    recorded = {"epochs": 3, "loss": "focal", "multilabel_loss": "asymmetric", "mixup": 0.2}
    recipe = recorded_recipe("run", {"recipe": recorded | {"folds": 5}}, options_of(task))
    kept = {name: value for name, value in recorded.items() if name in recipe.to_dict()}
    before_auto = Recipe(options=options_of(task)()).changed({"weights": None})
    assert recipe == before_auto.changed(kept)
    assert kept.keys() == {"epochs", *own}


@pytest.mark.parametrize("options", [3, "classification", {"mixup": 0.2}])
def test_options_of_no_task_are_refused(options: object) -> None:
    with pytest.raises(RecipeError, match="it must be the options of a task"):
        Recipe(options=options)
