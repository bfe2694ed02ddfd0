"""Fields that have no effect beside others are named."""

from __future__ import annotations

import pytest

from pplcnet.recipe.idle_fields import idle_fields
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks import options_of


@pytest.mark.parametrize(
    ("fields", "task", "named"),
    [
        ({"weights": "x", "freeze": "trunk", "augment": "randaugment"}, "classification",
         ["augment"]),
        ({"loss": "focal"}, "classification", []),
        ({"teacher": "x", "distillation": "ssld", "loss": "focal"}, "classification", ["loss"]),
        ({"distillation": "ssld"}, "classification", ["distillation"]),
        ({"distillation": "mutual", "distillation_weight": 0.2}, "classification", []),
        ({}, "multilabel", []),
    ],
)  # fmt: skip
def test_fields_that_change_nothing_are_named(fields, task: str, named: list[str]) -> None:
    said = idle_fields(Recipe(**fields).for_options(options_of(task)))
    assert [line.split(":")[0] for line in said] == [f"{name} has no effect" for name in named]
