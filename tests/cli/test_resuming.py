"""--resume on a run whose surroundings have changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.cli.main import main
from pplcnet.cli.resuming import check_given, recorded_recipe
from pplcnet.errors import RecipeError
from pplcnet.tasks import options_of


@pytest.mark.parametrize(
    ("verb", "kind"), [("train", "train"), ("distill", "train"), ("suspects", "suspects")]
)
def test_photos_that_were_moved_are_asked_for(
    verb: str, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "photos"
    facts = {"kind": kind, "photos": str(gone), "digest": "0", "recipe": {}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))
    assert main([verb, "--resume", "--out", str(tmp_path / "run")]) == 2
    assert f"the run's photos are no longer at {gone}" in capsys.readouterr().err
    assert [each.name for each in tmp_path.joinpath("run").iterdir()] == ["run.json"]


def test_fields_of_another_task_that_the_run_was_given_may_be_given_again() -> None:
    """Runs of version 0.1 had the fields of every task."""
    run = {"recipe": {"epochs": 3, "multilabel_loss": "asymmetric"}}
    recipe = recorded_recipe("run", run, options_of("classification"))
    check_given("run", recipe, {"epochs": 3, "multilabel_loss": "asymmetric"}, run)
    with pytest.raises(RecipeError, match="multilabel_loss is for multi-label data"):
        check_given("run", recipe, {"epochs": 3, "multilabel_loss": "asymmetric"}, {"recipe": {}})
