"""Every setting of a training run, documented once: the command line's help comes from here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.models import catalog
from pplcnet.recipe.fields import (
    INTERNAL,
    Need,
    Searched,
    explanations,
    field_types,
    range_faults,
    type_faults,
)
from pplcnet.recipe.files import read_toml, recipe_path, toml_text
from pplcnet.recipe.rules import shared_rules
from pplcnet.recipe.task_options import TaskOptions, options_with
from pplcnet.recipe.values import Between, Rising, part_of_sides, shaped, shown_value
from pplcnet.system.wording import counted

__all__ = ["Recipe"]

MOST_EPOCHS = 1_000_000
_WEIGHT_DECAYS = {"sgd": 0.002, "adamw": 0.05}
_LAYERS = Need(
    lambda recipe, _: recipe.freeze != "trunk", "features are computed once, with freeze=trunk"
)
_SCRATCH = Need(lambda recipe, _: recipe.weights is None, "the weights bring BatchNorm's scale")
_RANDAUGMENT = Need(lambda recipe, _: recipe.augment == "randaugment", "augment is not randaugment")
_AVERAGED = Need(lambda recipe, _: recipe.ema > 0, "ema is 0")
_POOLED = Need(lambda _, options: options.pools_features, "the head takes no pooled features")
_CROPPED = Need(lambda _, options: options.crops_by_area, "crops have other sizes")
_COVERED = Need(lambda recipe, _: recipe.resize == "cover", "resize is not cover")

Options = TypeVar("Options", bound=TaskOptions)


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Recipe:
    """The settings of a training run.

    The defaults suit a few thousand photos; `starts` says which named recipe belongs to which
    pretrained weights.

    The fields below apply to every task. Those of one task are declared in
    `tasks/<name>/options.py` and stored in `options`, but set and read like all others:
    `Recipe(epochs=3, label_smoothing=0.1).label_smoothing`. A recipe is checked as a whole when it
    is created. Until a data set determines the task, it is for the first task that has all its
    fields; `for_options` turns it into a recipe for the data's task.
    """

    model: str = "pplcnet_x1_0"
    """Network, as listed by `pplcnet models`."""
    image_size: Annotated[tuple[int, int], Between(1, 4096, unit="pixels")] = (224, 224)
    """Input height and width; one number for a square."""
    test_image_size: Annotated[tuple[int, int] | None, Between(1, 4096, unit="pixels")] = None
    """Input size of evaluation and prediction, if other than image_size: a larger one helps after
    training on crops down to a tenth of the picture (arXiv 1906.06423), and hurts otherwise."""
    weights: str | None = "auto"
    """Starting weights: imagenet, imagenet-ssld or timm (downloaded), fractal (ships with pplcnet),
    none (random values), or a file or bundle with a matching trunk; a classifier for other classes
    starts from random values. auto is imagenet if it is cached or can be downloaded, else fractal,
    else none."""
    freeze: str = ""
    """Freeze this stage and all before it (stage names are those of
    `create_model(output="stages")`). trunk: train only the head, which takes seconds."""
    head_epochs: Annotated[int, Between(0, MOST_EPOCHS), _POOLED] = 0
    """Epochs at the start in which only the head is trained, on features computed once."""
    layer_decay: Annotated[float, Between(0, 1, "low"), _LAYERS] = 1.0
    """Factor on a stage's learning rate for each stage between it and the head."""
    dropout: Annotated[float, Between(0, 1, "high"), Searched(0.0, 0.5), _POOLED] = 0.0
    """Dropout rate before the classifier; hinders short training from scratch."""
    epochs: Annotated[int, Between(1, MOST_EPOCHS)] = 20
    """Passes over the training images."""
    early_stopping: Annotated[int, Between(0, MOST_EPOCHS, off=0)] = 0
    """Stop after this many epochs without improvement on the validation images."""
    recalibrate_batchnorm: Annotated[int | None, Between(0, 1e9, off=0), _LAYERS] = None
    """Training images on which BatchNorm statistics are measured before every validation; 0 uses
    moving averages. Default: 256, or 4 batches if that is more."""
    batchnorm_scale: Annotated[float, Between(0, 10, "low"), _SCRATCH] = 0.2
    """Initial BatchNorm scale before a hard-swish. Below 1, the network is nearly linear at first
    and learns in fewer steps; 1, as in the original, also leaves the head random."""
    batch_size: Annotated[int | None, Between(1, 65_536)] = None
    """Images per step. Default: 8 to 32, depending on the number of images."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd (Nesterov momentum 0.9) or adamw."""
    learning_rate: Annotated[float | None, Between(0, 1e6, "both")] = None
    """Peak learning rate for a batch of 256, scaled linearly (sgd) or by the square root (adamw) of
    batch_size / 256. The default depends on optimizer, batch_size and weights."""
    warmup_epochs: Annotated[float | None, Between(0, MOST_EPOCHS)] = None
    """Epochs with a rising learning rate, by default a tenth of them; then it falls to 0."""
    schedule: Literal["cosine", "poly"] = "cosine"
    """How the learning rate then falls: along half a cosine, or as the share of steps left to the
    power 0.9."""
    weight_decay: Annotated[float | None, Between(0, 1e6)] = None
    """Decoupled weight decay, times the learning rate, on convolution and classifier kernels only.
    Default: 0.002 for sgd, 0.05 for adamw."""
    gradient_clip: Annotated[float, Between(0, 1e6, off=0)] = 1.0
    """Clip gradients to this global norm."""
    gradient_accumulation: Annotated[int, Between(1, 65_536)] = 1
    """Batches whose gradients are averaged for one step of the optimiser."""
    ema: Annotated[float, Between(0, 1, "both", off=0)] = 0.0
    """Decay of a moving average of the weights, such as 0.99; the average is validated and kept."""
    ema_warmup: Annotated[bool, _AVERAGED] = False
    """Let the decay rise to ema: at step t it is at most (1 + t) / (10 + t)."""
    drop_path: Annotated[float, Between(0, 1, "high"), _LAYERS] = 0.0
    """Stochastic depth (arXiv 1603.09382): rate at which the last block with a shortcut is skipped,
    rising from 0 at the first. Only for families with shortcuts."""
    crop_scale: Annotated[tuple[float, float], Rising(1e-4, 1), _LAYERS, _CROPPED] = (0.6, 1.0)
    """Smallest and largest fraction of a picture's area that a random crop keeps."""
    crop_ratio: Annotated[tuple[float, float], Rising(0.01, 100), _LAYERS, _CROPPED] = (0.75, 1.333)
    """Smallest and largest width / height of a random crop before it is resized."""
    horizontal_flip: bool = True
    """Flip training images left to right with probability 1/2; turn it off for text, digits and
    anything that changes its meaning when mirrored."""
    augment: Annotated[Literal["none", "randaugment", "autoaugment", "trivialaugment"], _LAYERS] = (
        "none"
    )
    """Changes of colour and shape: RandAugment (arXiv 1909.13719), AutoAugment's ImageNet policy
    (arXiv 1805.09501) or TrivialAugment (arXiv 2103.10158)."""
    augment_operations: Annotated[int, Between(1, 14), _LAYERS, _RANDAUGMENT] = 2
    """RandAugment's number of operations per picture."""
    augment_magnitude: Annotated[int, Between(0, 30), _LAYERS, _RANDAUGMENT] = 7
    """RandAugment's strength."""
    random_erasing: Annotated[float, Between(0, 1), _LAYERS] = 0.0
    """Probability that a rectangle of a picture is filled with noise (arXiv 1708.04896)."""
    progressive_resizing: Annotated[float, Between(0.25, 1, off=1), _LAYERS] = 1.0
    """Fraction of image_size that training begins with; it grows in four steps to the full size,
    which is used in the last third of the epochs (arXiv 2104.00298)."""
    validation: Annotated[float, Between(0, 1, "both")] = 0.15
    """Fraction of the images held out to choose the best epoch, if the data has no splits."""
    test: Annotated[float, Between(0, 1, "high")] = 0.15
    """Fraction held out for the final figures only; 0 for none."""
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    """Seed of the split, the initial weights, the order and the augmentation."""
    crop_fraction: Annotated[float, Between(0.01, 1), _COVERED] = 0.875
    """Fraction of the short side that the centre crop keeps in evaluation and prediction."""
    resize: Literal["cover", "stretch"] = "cover"
    """cover keeps the aspect ratio and crops the centre; stretch distorts the photo to fit."""
    interpolation: Literal[
        "shrunk-bilinear", "pillow-bilinear", "pillow-bicubic", "opencv-bilinear", "opencv-bicubic"
    ] = "shrunk-bilinear"
    """How photos are resized to the input; shrunk-bilinear decodes large ones at 1/2 to 1/8."""
    cache_gigabytes: Annotated[float, Between(0, 1e6)] = 4.0
    """Memory for decoded photos; those that do not fit are decoded again in every epoch."""
    disk_cache_gigabytes: Annotated[float, Between(0, 1e6, off=0)] = 0.0
    """Disk space for decoded photos that do not fit into memory, freed at the end."""
    workers: Annotated[int, Between(0, 1024)] = 0
    """Threads that decode and augment; 0 means one per core."""
    worker_processes: Annotated[bool | None, _LAYERS] = None
    """Decode and augment in processes instead of threads, each with its share of cache_gigabytes.
    Linux only. Default: on with a GPU and at least 4 cores."""
    devices: Annotated[int, Between(1, 1024)] = 1
    """Number of GPUs of this machine among which every batch is divided (TensorFlow only)."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """mixed_*: compute in 16 bits, keep weights in 32; for GPUs."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the tensorboard extra)."""

    options: TaskOptions = field(metadata=INTERNAL)
    """The fields of the task."""
    preset: frozenset[str] = field(repr=False, compare=False, metadata=INTERNAL)
    """Fields set by a recipe that comes with pplcnet: a task without them leaves them out."""
    given: frozenset[str] | None = field(repr=False, compare=False, metadata=INTERNAL)
    """The fields that were set, where the others follow the start (`starts.recipe_by_start`)."""

    def __init__(
        self,
        *,
        options: TaskOptions | None = None,
        preset: Set[str] = frozenset(),
        given: Set[str] | None = None,
        **values: Any,
    ) -> None:
        """RecipeError with all faults; UnknownNameError for an unknown field or network."""
        hints = field_types(Recipe)
        for each in fields(self):
            if each.name in hints:
                value = shaped(each.name, values.pop(each.name, each.default), hints[each.name])
                object.__setattr__(self, each.name, value)
        own = options_with(options, values, preset, hints.keys())
        object.__setattr__(self, "options", own)
        object.__setattr__(self, "preset", frozenset(preset))
        object.__setattr__(self, "given", None if given is None else frozenset(given))
        if isinstance(self.model, str):
            catalog.backbone_of(self.model)
        if faults := list(self._faults()):
            raise RecipeError(f"the recipe has {counted(len(faults), 'fault')}:", faults)

    if not TYPE_CHECKING:  # code that knows its task uses `options_as`, which is type-checked

        def __getattr__(self, name: str) -> Any:
            """A field of the task's options."""
            if name == "options":  # not set yet while a copy is being made
                raise AttributeError(name)
            return getattr(self.options, name)

    def _faults(self) -> Iterator[str]:
        wrong_types = [*type_faults(self), *type_faults(self.options)]
        yield from wrong_types
        if wrong_types:  # the comparisons below need the right types
            return
        rules = (*shared_rules(self), *self.options.rules(self))
        broken = [(name, demand) for name, is_kept, demand in rules if not is_kept]
        ranges = dict([*range_faults(self), *range_faults(self.options)])
        for name, _ in broken:
            ranges.pop(name, None)
        for name, demand in (*ranges.items(), *broken):
            yield f"{name} is {shown_value(getattr(self, name))}; it {demand}."

    def size_in_epoch(self, epoch: int) -> tuple[int, int]:
        """Input size of an epoch (from 0): multiples of 32, except for the full size at the end."""
        least, steps = self.progressive_resizing, 4
        if least == 1:
            return self.crop_size
        grown = min(1.0, int(epoch / max(1, self.epochs * 2 / 3) * steps) / steps)
        if grown == 1 or epoch == self.epochs - 1:
            return self.crop_size
        return part_of_sides(self.crop_size, least + (1 - least) * grown)

    @property
    def crop_size(self) -> tuple[int, int]:
        """Input size of training: image_size, or the task's fraction of it."""
        return part_of_sides(self.image_size, self.options.crop)

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up. ValueError before `adapting.adapted` has set it."""
        if self.learning_rate is None or self.batch_size is None:
            raise ValueError("the recipe leaves its learning rate open; adapt it first")
        ratio = self.batch_size * self.gradient_accumulation / 256
        return self.learning_rate * (ratio if self.optimizer == "sgd" else ratio**0.5)

    @property
    def decay(self) -> float:
        """The weight decay: the field, or the optimizer's default."""
        return _WEIGHT_DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay

    def to_dict(self) -> dict[str, Any]:
        """Every field, including the task's, as values that TOML and JSON can hold."""
        values = {name: getattr(self, name) for name in field_types(Recipe)}
        values |= {name: getattr(self.options, name) for name in field_types(type(self.options))}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """A recipe with some fields replaced; RecipeError or UnknownNameError if they are wrong."""
        for name in ("options", "preset", "given", "self"):
            if name in values:
                raise UnknownNameError("recipe field", name, field_types(Recipe))
        preset = self.preset - values.keys()
        given = None if self.given is None else self.given | values.keys()
        return replace(self, **{"preset": preset, "given": given, **values})

    def defaults(self) -> Recipe:
        """The recipe of the same task with nothing set."""
        return Recipe(options=type(self.options)())

    def for_options(self, kind: type[TaskOptions]) -> Recipe:
        """The recipe for a task with options of this kind; RecipeError for fields of another."""
        if type(self.options) is kind:
            return self
        given, own = self.options.given(), field_types(kind)
        if faults := [
            f"{name} is for {self.options.data} data; this is {kind.data} data."
            for name in given
            if name not in own and name not in self.preset
        ]:
            raise RecipeError(f"the recipe has {counted(len(faults), 'fault')}:", faults)
        return replace(self, options=kind(**{n: v for n, v in given.items() if n in own}))

    def options_as(self, kind: type[Options]) -> Options:
        """The options as a task's type; RecipeError for fields of another task."""
        return cast(Options, self.for_options(kind).options)

    @classmethod
    def named(cls, name: str) -> Recipe:
        """A recipe that comes with pplcnet; UnknownNameError lists them."""
        values = read_toml(recipe_path(name))
        return cls(preset=values.keys(), **values)

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file of `field = value` lines; absent fields keep defaults."""
        return cls().changed(read_toml(path))

    def to_toml(self) -> str:
        """The recipe as TOML, each field below its explanation; None is left out, or "none"."""
        texts = {**explanations(Recipe), **explanations(type(self.options))}
        from_scratch = {"weights": "none"} if self.weights is None else {}  # absent is auto
        return toml_text(self.to_dict() | from_scratch, texts)
