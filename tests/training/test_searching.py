"""A search over recipe fields: what it proposes, what it keeps, and what is trained after it."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.data.dataset import Dataset
from pplcnet.errors import InputError, TrainingInterrupted
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.search_space import searched_fields
from pplcnet.training import loop, searching
from tests.conftest import draw_image

pytestmark = pytest.mark.usefixtures("shallow_networks")

# Of this seed's first two trials the second wins, by its loss alone.
SMALL = {
    "model": "mobilenetv1_x0_25", "image_size": [32, 32], "batch_size": 9, "epochs": 2, "seed": 8,
    "horizontal_flip": False, "learning_rate": 0.4, "test": 0.2, "validation": 0.2, "weights": None,
}  # fmt: skip
SETTINGS = [each for name, value in SMALL.items() for each in ("--set", f"{name}={value}".lower())]
ANY_TIME = 1e9


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "photos"
    for label in range(2):
        target = folder / f"class_{label}"
        target.mkdir(parents=True)
        for number in range(15):
            draw_image(label, number).save(target / f"{number:02d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def parts(jpegs: Path) -> tuple[Dataset, Dataset]:
    return Dataset.open(jpegs).split(0.3, seed=0)


def _search(parts, out: Path, trials: int, **changes) -> tuple[Recipe, list[str]]:
    lines: list[str] = []
    recipe = Recipe().changed(SMALL | changes)
    out.mkdir(exist_ok=True)
    best = searching.search(
        *parts, recipe, out, seconds=ANY_TIME, most_trials=trials, report=lines.append
    )
    return best, lines


@pytest.fixture(scope="module")
def searched(parts, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recipe, list[str]]:
    """Two trials without an interruption."""
    out = tmp_path_factory.mktemp("searched")
    return out, *_search(parts, out, trials=2)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400)])
def test_a_budget_is_a_time_with_its_unit(text: str, seconds: float) -> None:
    assert searching.parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["20", "m", "0m", "-3m", "20 minutes", "1h30m", "nan", ""])
def test_any_other_budget_is_one_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "photos", "--out", "nowhere", f"--search={text}"]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"error: --search is {text!r}; it must be a time above 0 with its unit: 90s, 20m or 2h.\n"
    )


@pytest.mark.parametrize(("epochs", "tried"), [(1, 1), (3, 3), (7, 3), (20, 7), (60, 20)])
def test_a_trial_has_a_third_of_the_epochs(epochs: int, tried: int) -> None:
    whole = adapted(Recipe(epochs=epochs, head_epochs=2, tensorboard=True), 500)
    short = searching.short_recipe(whole)
    assert short.epochs == tried
    assert not short.tensorboard
    assert short.warmup_epochs < max(2, short.epochs)


def test_the_first_trial_is_the_recipe_and_only_figures_are_kept(searched) -> None:
    out, best, lines = searched
    assert len(lines) == 3
    assert lines[0].startswith("trial   1  validation top-1")
    assert "learning_rate=0.4 weight_decay=0.002 label_smoothing=0.05 dropout=0 crop_" in lines[0]
    assert lines[2].startswith("best of 2 trials")
    assert {each.name for each in (out / "search").iterdir()} == {"best.toml", "trials.log"}
    fields = tomllib.loads((out / "search" / "best.toml").read_text())
    assert set(fields) == set(searched_fields(best))
    assert Recipe().changed(SMALL | fields) == best
    assert searching.read_best(out, Recipe().changed(SMALL)) == best


def test_the_best_trial_wins_by_accuracy_then_by_loss(searched) -> None:
    _, best, lines = searched
    figures = [(float(words[4]), -float(words[6])) for words in map(str.split, lines[:2])]
    winner = lines[figures.index(max(figures))]
    assert winner.split()[-5:] == lines[2].split()[-5:]
    assert f"learning_rate={best.learning_rate:g} " in winner


@pytest.mark.slow
def test_a_search_that_was_stopped_ends_as_one_that_was_not(
    searched, parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, best, whole = searched
    real, calls = loop.fit, []

    def interrupted_in_the_second(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise TrainingInterrupted("stopped", run="trial")
        return real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit", interrupted_in_the_second)
        with pytest.raises(TrainingInterrupted, match=r"Stopped in trial 2.*; 1 finished trial"):
            _search(parts, tmp_path / "run", trials=2)
    with pytest.raises(InputError, match="the search is not finished; continue with --search"):
        searching.read_best(tmp_path / "run", Recipe().changed(SMALL))
    journal = tmp_path / "run" / "search" / "trials.log"
    with journal.open("a") as file:
        file.write('{"op_code":')  # a process was killed while it wrote
    again, lines = _search(parts, tmp_path / "run", trials=2)
    assert again == best
    assert [_without_time(each) for each in lines] == [_without_time(each) for each in whole[1:]]


def _without_time(line: str) -> str:
    return re.sub(r"\d+ s\b", "", line)


def test_finished_trials_spend_the_budget(searched, parts, tmp_path: Path) -> None:
    out, best, whole = searched
    copy = Path(shutil.copytree(out, tmp_path / "run"))
    lines: list[str] = []
    recipe = Recipe().changed(SMALL)
    assert searching.search(*parts, recipe, copy, seconds=1e-6, report=lines.append) == best
    assert lines == whole[2:]


def test_a_damaged_journal_is_one_sentence(searched, parts, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(searched[0], tmp_path / "run"))
    (copy / "search" / "trials.log").write_text("no journal\nat all\n")
    with pytest.raises(InputError, match=r"trials\.log: is damaged"):
        _search(parts, copy, trials=2)


@pytest.mark.slow
def test_a_recipe_that_diverges_does_not_end_the_search(parts, tmp_path: Path) -> None:
    best, lines = _search(parts, tmp_path / "run", trials=1, learning_rate=9e5, epochs=9)
    assert lines[0].startswith("trial   1  validation top-1")
    assert best.learning_rate == 9e5


def test_a_search_that_fails_at_once_leaves_nothing(parts, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Exception, match=r"absent\.npz"):
        _search(parts, out, trials=1, weights=str(tmp_path / "absent.npz"))
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_the_best_recipe_is_the_one_that_is_trained_and_resumed(
    jpegs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["train", str(jpegs), "--out", str(out), *SETTINGS]
    assert main([*command, "--search", "1s"]) == 0
    said = capsys.readouterr().err
    assert said.count("\ntrial ") == 1
    assert "nothing was compared" in said
    best = tomllib.loads((out / "search" / "best.toml").read_text())
    # As if the search had found something else, and the training had been killed.
    other = {**best, "learning_rate": 0.25}
    text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in other.items())
    (out / "search" / "best.toml").write_text(text)
    shutil.rmtree(out / "model.bundle")
    (out / "checkpoint.npz").unlink()
    assert main(command) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert other.pop("run") == json.loads((out / "run.json").read_text())["id"]
    chosen = adapted(Recipe().changed(SMALL | other), 18)
    assert Recipe.from_toml(out / "recipe.toml") == chosen
    bundle = Bundle.open(out / "model.bundle")
    assert bundle.manifest.provenance["recipe"]["learning_rate"] == 0.25
    capsys.readouterr()
    assert main([*command, "--resume", "--search", "1s"]) == 0
    assert "Already finished" in capsys.readouterr().err
