"""Rules between the recipe fields that all tasks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pplcnet.recipe.recipe import Recipe

__all__ = ["shared_rules"]

_NOT_WITH_TRUNK = (
    "cannot be trunk with distillation, mixup, cutmix or balanced_sampling: the features are "
    "computed before these take effect"
)
_DEVICES = "must be 1, or divide batch_size, without gradient_accumulation and freeze=trunk"


def shared_rules(recipe: Recipe) -> list[tuple[str, bool, str]]:
    """Rules between fields: a field's name, whether it keeps the rule, and the rule in words."""
    options = recipe.options
    is_mixed = options.mixup > 0 or options.cutmix > 0
    needs_layers = options.distils or is_mixed or options.balanced_sampling
    heads_only = recipe.freeze == "trunk"
    divides = recipe.devices > 0 and (recipe.batch_size or 0) % recipe.devices == 0
    shares = divides and recipe.gradient_accumulation == 1 and not heads_only
    # If the other field is out of its range, do not report this one as a second fault.
    is_short = (recipe.warmup_epochs or 0) <= recipe.epochs or recipe.epochs < 1
    is_rest = recipe.test + recipe.validation < 1 or not 0 < recipe.validation < 1
    return [
        ("freeze", not recipe.freeze or recipe.weights is not None, "needs weights"),
        ("freeze", not (heads_only and needs_layers), _NOT_WITH_TRUNK),
        ("warmup_epochs", is_short, "must be 0 to the number of epochs"),
        ("test", is_rest, "must be at least 0 and below 1 - validation"),
        ("devices", recipe.devices == 1 or shares, _DEVICES),
    ]
