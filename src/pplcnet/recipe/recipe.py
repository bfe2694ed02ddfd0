"""Every choice of a training run, documented once: the command line's help comes from here."""

from __future__ import annotations

import ast
import inspect
import itertools
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.models import catalog
from pplcnet.recipe.limits import limits
from pplcnet.recipe.values import (
    is_text,
    parse_toml,
    read_toml,
    shaped,
    shown_value,
    toml_value,
    type_problem,
)
from pplcnet.system.wording import counted

__all__ = ["FINETUNE", "Recipe", "field_help", "named_recipes", "parse_setting", "recipe_path"]

FINETUNE = "finetune"
"""The named recipe that training with weights starts from."""

_LEARNING_RATES = {"sgd": 3.2, "adamw": 0.012}
_NAMED = Path(__file__).parent
_WEIGHT_DECAYS = {"sgd": 0.002, "adamw": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run. The defaults suit a few thousand photos and no pretrained weights."""

    model: str = "pplcnet_x1_0"
    """Network, a row of `pplcnet models`."""
    image_size: tuple[int, int] = (224, 224)
    """Input height and width in pixels; one number for a square."""
    test_image_size: tuple[int, int] | None = None
    """Input of evaluation and prediction, when other than image_size: larger ones help where crops
    go down to a tenth of the picture (arXiv 1906.06423), and hurt where they do not."""
    weights: str | None = None
    """What to start from: imagenet, imagenet-ssld or timm (downloaded), or a file or bundle; the
    trunk has to fit; a classifier for other classes starts from random values."""
    freeze: str = ""
    """Stage that keeps its weights, with all stages before it (a name as `create_model` gives it
    for output="stages"), or trunk: only the head learns, in seconds."""
    head_epochs: int = 0
    """Epochs in which only the head learns, on features computed once, before all layers do."""
    layer_decay: float = 1.0
    """What a stage's learning rate is multiplied by for each stage between it and the head."""
    dropout: float = 0.0
    """Dropout rate before the classifier; hinders short training from scratch."""
    epochs: int = 20
    """Passes over the training images."""
    early_stopping: int = 0
    """Stop after this many epochs without improvement on the validation images; 0 is off."""
    recalibrate_batchnorm: int = 0
    """Training images over which BatchNorm's statistics are measured anew at the end; kept if the
    validation images do not say otherwise. 0 is off."""
    batch_size: int = 16
    """Images in one step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """sgd (Nesterov momentum 0.9) or adamw."""
    learning_rate: float | None = None
    """Peak learning rate for a batch of 256, scaled linearly (sgd) or by the square root (adamw)
    of batch_size / 256. Default by optimizer: sgd 3.2, adamw 0.012; an eighth with weights."""
    warmup_epochs: float = 1.0
    """Epochs over which the learning rate rises from 0; then it falls along a cosine to 0."""
    weight_decay: float | None = None
    """Decoupled weight decay, times the learning rate, on convolution and classifier kernels only.
    Default by optimizer: sgd 0.002, adamw 0.05."""
    label_smoothing: float = 0.05
    """Part of the target spread evenly over all classes."""
    multilabel_loss: Literal["bce", "asymmetric"] = "bce"
    """Where photos have several labels: binary cross-entropy, or the asymmetric loss (ASL), which
    gives little weight to clearly absent labels; it takes no label smoothing."""
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    """Where photos have one class: cross-entropy, or the focal loss (arXiv 1708.02002), which gives
    more weight to photos that are still wrong."""
    focal_gamma: float = 2.0
    """How much the focal loss discounts photos that are already classified correctly."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: weights each class by how much rarer it is than average."""
    balanced_sampling: bool = False
    """Draw the photos of an epoch so that every class comes equally often."""
    gradient_clip: float = 0.0
    """Largest global norm of the gradient; 0 is off."""
    gradient_accumulation: int = 1
    """Batches whose gradients are averaged for one step of the optimiser."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, which is then what is validated and
    kept, such as 0.99; 0 is off."""
    drop_path: float = 0.0
    """Stochastic depth (arXiv 1603.09382): rate at which the last block that has a shortcut is
    skipped, rising from 0 at the first. Of families with shortcuts."""
    crop_scale: tuple[float, float] = (0.6, 1.0)
    """Least and greatest part of a picture's area that a random crop keeps."""
    crop_ratio: tuple[float, float] = (0.75, 1.333)
    """Least and greatest width / height of a random crop before it is resized."""
    horizontal_flip: bool = True
    """Mirror every second picture; turn it off for text, digits and anything where left and right
    differ."""
    augment: Literal["none", "randaugment", "autoaugment", "trivialaugment"] = "none"
    """Changes of colour and shape: RandAugment (arXiv 1909.13719), AutoAugment's ImageNet policy
    (arXiv 1805.09501) or TrivialAugment (arXiv 2103.10158)."""
    augment_operations: int = 2
    """RandAugment's number of operations per picture."""
    augment_magnitude: int = 7
    """RandAugment's strength, 0 to 30."""
    random_erasing: float = 0.0
    """Probability that a rectangle of a picture is filled with noise (arXiv 1708.04896)."""
    mixup: float = 0.0
    """Mix pairs of pictures and their labels (arXiv 1710.09412), by Beta(mixup, mixup); 0 is off.
    With cutmix too, every batch takes one of the two."""
    cutmix: float = 0.0
    """Paste a rectangle of one picture into another (arXiv 1905.04899), by Beta(cutmix, cutmix)."""
    progressive_resizing: float = 1.0
    """Part of image_size that training begins with; it grows in four steps to the whole, which the
    last third of the epochs has (arXiv 2104.00298). 1 is off."""
    validation: float = 0.15
    """Part of the images held out to choose the best epoch, if the data have no split."""
    test: float = 0.15
    """Part held out for the final figures and used for nothing else; 0 for none."""
    seed: int = 0
    """Seed of the split, the initial weights, the order and the augmentation."""
    crop_fraction: float = 0.875
    """Part of the short side that the centre crop keeps in evaluation and prediction."""
    resize: Literal["cover", "stretch"] = "cover"
    """cover keeps the aspect and crops the centre; stretch squeezes everything in."""
    interpolation: Literal["pillow-bilinear", "pillow-bicubic", "opencv-bilinear"] = (
        "pillow-bilinear"
    )
    """Filter that fits a photo to the input in evaluation and prediction."""
    cache_gigabytes: float = 4.0
    """Memory for decoded pictures; what does not fit is decoded anew each epoch."""
    disk_cache_gigabytes: float = 0.0
    """Disk space, in the cache folder, for decoded pictures that do not fit into memory; given back
    at the end."""
    workers: int = 2
    """Threads that decode and augment."""
    devices: int = 1
    """Number of GPUs of this machine that share every batch (with TensorFlow)."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """mixed_*: compute in 16 bits, keep weights in 32; for GPUs."""
    teacher: str | None = None
    """Bundle or `.keras` file of a trained network that this one learns from (pplcnet distill)."""
    distillation: Literal["soft", "ssld", "mutual"] = "soft"
    """soft: labels, and the teacher's softened answers (arXiv 1503.02531). ssld: the teacher's
    answers alone, symmetric (arXiv 2103.05959), so that photos without labels help. mutual: a
    second network learns beside it, each from the other (arXiv 1706.00384); no teacher needed."""
    distillation_weight: float = 0.7
    """Part of the loss that comes from the teacher, or the other student."""
    distillation_temperature: float = 3.0
    """What logits are divided by where soft answers are compared."""
    distillation_layers: str = ""
    """STUDENT_LAYER:TEACHER_LAYER, whose features are compared too, of a teacher with Keras'
    network; the student's pass a 1x1 convolution. Empty is off."""
    unlabelled: str | None = None
    """Folder of photos without classes that are learned from too; needs a teacher."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the tensorboard extra)."""

    def __post_init__(self) -> None:
        if isinstance(self.model, str):
            catalog.find(self.model)
        faults = list(self._faults())
        if faults:
            raise RecipeError(f"the recipe has {counted(len(faults), 'fault')}:", faults)

    def _faults(self) -> typing.Iterator[str]:
        wrong_types = [
            f"{name} is {shown_value(getattr(self, name))}; {problem}."
            for name, hint in _types().items()
            if (problem := type_problem(getattr(self, name), hint))
        ]
        yield from wrong_types
        if wrong_types:  # the comparisons below need the right types
            return
        for name, is_kept, demand in limits(self):
            if not is_kept:
                yield f"{name} is {shown_value(getattr(self, name))}; it {demand}."

    @property
    def distils(self) -> bool:
        """Whether the network learns from another one too."""
        return self.teacher is not None or self.distillation == "mutual"

    def size_in_epoch(self, epoch: int) -> tuple[int, int]:
        """Input size of an epoch (from 0): multiples of 32, but for the whole at the end."""
        least, steps = self.progressive_resizing, 4
        if least == 1:
            return self.image_size
        grown = min(1.0, int(epoch / max(1, self.epochs * 2 / 3) * steps) / steps)
        if grown == 1 or epoch == self.epochs - 1:
            return self.image_size
        part = least + (1 - least) * grown
        height, width = self.image_size
        return (
            min(height, max(32, round(height * part / 32) * 32)),
            min(width, max(32, round(width * part / 32) * 32)),
        )

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up, scaled for this batch size."""
        at_256 = self.learning_rate
        if at_256 is None:
            at_256 = _LEARNING_RATES[self.optimizer] / (1 if self.weights is None else 8)
        ratio = self.batch_size * self.gradient_accumulation / 256
        return at_256 * (ratio if self.optimizer == "sgd" else ratio**0.5)

    @property
    def decay(self) -> float:
        """The weight decay: the field, or the optimizer's default."""
        return _WEIGHT_DECAYS[self.optimizer] if self.weight_decay is None else self.weight_decay

    def to_dict(self) -> dict[str, Any]:
        """Every field, as values that TOML and JSON can hold."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """A recipe with some fields replaced; RecipeError or UnknownNameError if they are wrong."""
        known = {field.name for field in fields(self)}
        for name in values:
            if name not in known:
                raise UnknownNameError("recipe field", name, known)
        return replace(
            self, **{name: shaped(name, value, _types()[name]) for name, value in values.items()}
        )

    @classmethod
    def named(cls, name: str) -> Recipe:
        """A recipe that comes with pplcnet; UnknownNameError lists them."""
        return cls.from_toml(recipe_path(name))

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file of `field = value` lines; absent fields keep defaults."""
        return cls().changed(read_toml(path))

    def to_toml(self) -> str:
        """The recipe as TOML, each field under its explanation; None is left out."""
        lines = []
        for name, value in self.to_dict().items():
            lines += [f"# {line}" for line in field_help()[name].splitlines()]
            lines += [f"# {name} =" if value is None else f"{name} = {toml_value(value)}", ""]
        return "\n".join(lines)


def recipe_path(name: str) -> Path:
    """The file of a recipe that comes with pplcnet; UnknownNameError lists them."""
    if name not in named_recipes():
        raise UnknownNameError("recipe", name, named_recipes())
    return _NAMED / f"{name}.toml"


def named_recipes() -> list[str]:
    """Names of the recipes that come with pplcnet; each file says what it is for and reached."""
    return sorted(path.stem for path in _NAMED.glob("*.toml"))


@cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(Recipe)


@cache
def field_help() -> dict[str, str]:
    """The explanation of every field: the string that follows it in the class above."""
    body = next(
        each.body
        for each in ast.parse(inspect.getsource(Recipe)).body
        if isinstance(each, ast.ClassDef)
    )
    texts: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=text)):
                texts[name] = inspect.cleandoc(str(text))
    for name, hint in _types().items():
        values = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        if not all(str(value) in texts[name].lower() for value in values):
            texts[name] += f" One of {', '.join(values)}."
    return texts


def parse_setting(setting: str) -> tuple[str, Any]:
    """`field=value` from the command line, as the field's type.

    Text is taken as it stands; any other value is read as TOML. `160` and `128x256` are sizes.
    """
    name, separator, text = setting.partition("=")
    name, text = name.strip().replace("-", "_"), text.strip()
    if not separator:
        raise RecipeError(f"{setting!r} is not of the form field=value.")
    if name not in _types():
        raise UnknownNameError("recipe field", name, _types())
    if text == "none" and type(None) in typing.get_args(_types()[name]):
        return name, None
    if is_text(_types()[name]):
        return name, text[1:-1] if text[:1] == text[-1:] in ('"', "'") and len(text) > 1 else text
    height, cross, width = text.partition("x")
    if cross and all(side.isdecimal() and len(side) < 10 for side in (height, width)):
        return name, (int(height), int(width))
    if "," in text and not text.startswith("["):
        text = f"[{text}]"
    try:
        values = parse_toml(f"value = {text}")
    except ValueError:
        return name, text
    return name, values["value"] if len(values) == 1 else text
