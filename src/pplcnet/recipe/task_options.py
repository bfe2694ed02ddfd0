"""The fields that a task adds to a recipe, declared in its folder's options.py."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Set
from dataclasses import MISSING, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.models.catalog import CATALOG
from pplcnet.recipe.fields import field_types
from pplcnet.recipe.values import shaped, shown_value

if TYPE_CHECKING:
    from pplcnet.recipe.recipe import Recipe

__all__ = ["TaskOptions", "known_options", "options_with"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """The recipe fields of one task; every task derives a dataclass of this kind.

    Every field has a default, so that a recipe that sets none of them suits any task. The recipe
    that holds the options checks types and ranges. Shared code asks for the properties below; a
    task that offers one of them has a field of that name.
    """

    data: ClassVar[str] = "other"
    """The kind of data, for messages: "multi-label", as in "multi-label data"."""
    named_recipe: ClassVar[str | None] = None
    """The named recipe that goes with every start; None where the start says which."""
    scratch_recipe: ClassVar[str | None] = None
    """The one for starts in which at most the backbone is trained; None where that is no other."""
    networks: ClassVar[Container[str]] = CATALOG
    """The names of the networks that can learn the task."""

    @property
    def mixup(self) -> float:
        """Alpha of the Beta distribution that mixup draws from; 0 is off."""
        return 0.0

    @property
    def cutmix(self) -> float:
        """Alpha of the Beta distribution that CutMix draws from; 0 is off."""
        return 0.0

    @property
    def balanced_sampling(self) -> bool:
        """Whether every class comes equally often in an epoch."""
        return False

    @property
    def multi_scale(self) -> int:
        """How many times 32 pixels the images of a batch may differ from the recipe's size."""
        return 0

    @property
    def passes(self) -> int:
        """How often an epoch shows each training image."""
        return 1

    @property
    def crop(self) -> float:
        """The part of image_size's sides that a step of training sees of a photo."""
        return 1.0

    @property
    def pools_features(self) -> bool:
        """Whether the head takes pooled features, on which it can be trained alone."""
        return True

    @property
    def crops_by_area(self) -> bool:
        """Whether training crops have the areas and aspects of `crop_scale` and `crop_ratio`."""
        return True

    @property
    def teacher(self) -> str | None:
        """Bundle or `.keras` file of a network that this one learns from."""
        return None

    @property
    def unlabelled(self) -> str | None:
        """Folder of images without labels that are learned from too."""
        return None

    @property
    def has_peer(self) -> bool:
        """Whether a second network is trained beside the first, each learning from the other."""
        return False

    @property
    def distils(self) -> bool:
        """Whether the network learns from another one too."""
        return self.teacher is not None or self.has_peer

    def rules(self, recipe: Recipe) -> Iterator[tuple[str, bool, str]]:
        """Rules between fields: a field's name, whether it keeps the rule, and the rule in words.

        The fields have the right types, but may be out of their ranges.
        """
        yield from ()

    def given(self) -> dict[str, Any]:
        """The fields that are not at their defaults."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: v for name, v in values.items() if v != _default(type(self), name)}


def known_options() -> list[type[TaskOptions]]:
    """The options of every task; a recipe uses the first that have all its fields."""
    # Tasks are a layer above recipes, so they are found by name on first use.
    from pplcnet.tasks import TASKS, options_of

    return [options_of(name) for name in TASKS]


def options_with(
    options: TaskOptions | None,
    values: Mapping[str, Any],
    preset: Set[str] = frozenset(),
    shared: Set[str] = frozenset(),
) -> TaskOptions:
    """The options with other values; of another task, if only that one has all these fields.

    Args:
        options: None for those of the first task that has the fields.
        preset: fields that may be left out if the task does not have them.
        shared: the fields common to all tasks, for the message about an unknown one.

    Raises:
        UnknownNameError: no task has such a field.
        RecipeError: no task has all of these fields, or `options` belong to no task.
    """
    if not isinstance(options, TaskOptions | None):
        raise RecipeError(
            f"options is {shown_value(options)}; it must be the options of a task, such as "
            "ClassificationOptions()."
        )
    if options is not None and values.keys() <= field_types(type(options)).keys():
        return replace(options, **_shaped(type(options), values))
    before = options.given() if options is not None else {}
    values = {**before, **values}
    kinds = [*([type(options)] if options is not None else []), *known_options()]
    owners = {name: [kind for kind in kinds if name in field_types(kind)] for name in values}
    for name, found in owners.items():
        if not found:
            known = {n for kind in kinds for n in field_types(kind)}
            raise UnknownNameError("recipe field", name, known | shared)
    # Recipes written in full name the fields of every task, most of them at their defaults.
    asked = {
        name
        for name, found in owners.items()
        if name not in preset
        and any(_shaped(k, {name: values[name]})[name] != _default(k, name) for k in found)
    }
    # A task's own named recipe is for that task only; from any other, fields may be left out.
    kinds.sort(key=lambda kind: not values.keys() <= field_types(kind).keys())
    for kind in kinds:
        if asked <= field_types(kind).keys():
            return kind(**_shaped(kind, values))
    raise RecipeError(
        "the recipe has fields of different tasks:",
        [f"{name} is for {_data(owners[name])} data." for name in values if name in asked],
    )


def _shaped(kind: type[TaskOptions], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that belong to fields of these options, converted to the fields' form."""
    hints = field_types(kind)
    return {name: shaped(name, v, hints[name]) for name, v in values.items() if name in hints}


def _data(kinds: list[type[TaskOptions]]) -> str:
    return " and ".join(dict.fromkeys(kind.data for kind in kinds))


def _default(kind: type[TaskOptions], name: str) -> Any:
    field = next(field for field in fields(kind) if field.name == name)
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
