"""Every choice of a training run, documented once: the command line's help comes from here."""

from __future__ import annotations

import ast
import inspect
import itertools
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pplcnet.errors import RecipeError, UnknownNameError
from pplcnet.models import catalog

__all__ = ["FINETUNE", "Recipe", "field_help", "named_recipes", "parse_setting"]

FINETUNE = "finetune"
"""The named recipe that training with weights starts from."""

_LEARNING_RATES = {"sgd": 3.2, "adamw": 0.012}
_NAMED = Path(__file__).with_name("recipes")
_WEIGHT_DECAYS = {"sgd": 0.002, "adamw": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run. The defaults suit a few thousand photos and no pretrained weights."""

    model: str = "pplcnet_x1_0"
    """Network, a row of `pplcnet models`."""
    image_size: tuple[int, int] = (224, 224)
    """Input height and width in pixels; one number for a square."""
    weights: str | None = None
    """What to start from: imagenet, imagenet-ssld or timm (downloaded), or a file or bundle; the
    trunk has to fit, a classifier of other classes starts fresh."""
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
    hardly looks at absent labels that are clear; it takes no label smoothing."""
    gradient_clip: float = 0.0
    """Largest global norm of the gradient; 0 is off."""
    crop_scale: tuple[float, float] = (0.6, 1.0)
    """Least and greatest part of a picture's area that a random crop keeps."""
    crop_ratio: tuple[float, float] = (0.75, 1.333)
    """Least and greatest width / height of a random crop before it is resized."""
    horizontal_flip: bool = True
    """Mirror every second picture; turn it off for text, digits and anything with a left."""
    validation: float = 0.15
    """Part of the images held out to choose the best epoch, where the data hold no split."""
    test: float = 0.15
    """Part held out for the figures at the end, which nothing is chosen by; 0 for none."""
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
    workers: int = 2
    """Threads that decode and augment."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs the tensorboard extra)."""

    def __post_init__(self) -> None:
        if isinstance(self.model, str):
            catalog.find(self.model)
        faults = list(self._faults())
        if faults:
            raise RecipeError(f"the recipe has {len(faults)} fault(s):", faults)

    def _faults(self) -> typing.Iterator[str]:
        wrong_types = [
            f"{name} is {getattr(self, name)!r}; {problem}."
            for name, hint in _types().items()
            if (problem := _type_problem(getattr(self, name), hint))
        ]
        yield from wrong_types
        if wrong_types:  # the comparisons below need the right types
            return
        (low_scale, high_scale), (low_ratio, high_ratio) = self.crop_scale, self.crop_ratio
        for name, is_allowed, allowed in (
            ("image_size", all(1 <= side <= 4096 for side in self.image_size), "1 to 4096 pixels"),
            ("head_epochs", self.head_epochs >= 0, "0 or above"),
            ("layer_decay", 0 < self.layer_decay <= 1, "above 0, up to 1"),
            (
                "freeze",
                not (self.freeze and self.weights is None),
                "a stage only together with weights",
            ),
            ("dropout", 0 <= self.dropout < 1, "0 up to, not including, 1"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            (
                "learning_rate",
                self.learning_rate is None or 0 < self.learning_rate < 1e6,
                "above 0",
            ),
            ("warmup_epochs", 0 <= self.warmup_epochs <= self.epochs, "0 to the number of epochs"),
            ("weight_decay", self.decay >= 0, "0 or above"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 up to, not including, 1"),
            ("gradient_clip", self.gradient_clip >= 0, "0 (off) or above"),
            ("crop_scale", 0 < low_scale <= high_scale <= 1, "two rising numbers, above 0 to 1"),
            ("crop_ratio", 0 < low_ratio <= high_ratio, "two rising numbers above 0"),
            ("validation", 0 < self.validation < 1, "between 0 and 1"),
            ("test", self.test >= 0 and self.test + self.validation < 1, "0 up to 1 - validation"),
            ("seed", 0 <= self.seed < 2**32, "0 up to 4294967295"),
            ("crop_fraction", 0 < self.crop_fraction <= 1, "above 0, up to 1"),
            ("cache_gigabytes", self.cache_gigabytes >= 0, "0 or above"),
            ("workers", self.workers >= 1, "at least 1"),
        ):
            if not is_allowed:
                yield f"{name} is {getattr(self, name)!r}; allowed is: {allowed}."

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after warm-up, scaled for this batch size."""
        at_256 = self.learning_rate
        if at_256 is None:
            at_256 = _LEARNING_RATES[self.optimizer] / (1 if self.weights is None else 8)
        ratio = self.batch_size / 256
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
        return replace(self, **{name: _shaped(name, value) for name, value in values.items()})

    @classmethod
    def named(cls, name: str) -> Recipe:
        """A recipe that comes with pplcnet; UnknownNameError lists them."""
        if name not in named_recipes():
            raise UnknownNameError("recipe", name, named_recipes())
        return cls.from_toml(_NAMED / f"{name}.toml")

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Recipe:
        """Read a recipe from a TOML file of `field = value` lines; absent fields keep defaults."""
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read ({error.strerror}).") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: not readable as TOML ({error}).") from error
        return cls().changed(values)

    def to_toml(self) -> str:
        """The recipe as TOML, each field under its explanation; None is left out."""
        lines = []
        for name, value in self.to_dict().items():
            lines += [f"# {line}" for line in field_help()[name].splitlines()]
            lines += [f"# {name} =" if value is None else f"{name} = {_toml_value(value)}", ""]
        return "\n".join(lines)


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
    if _is_text(_types()[name]):
        return name, text[1:-1] if text[:1] == text[-1:] in ('"', "'") and len(text) > 1 else text
    height, cross, width = text.partition("x")
    if cross and height.isdecimal() and width.isdecimal():
        return name, (int(height), int(width))
    if "," in text and not text.startswith("["):
        text = f"[{text}]"
    try:
        return name, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return name, text


def _is_text(hint: Any) -> bool:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        return all(isinstance(each, str) for each in arguments)
    return hint is str or str in arguments


def _shaped(name: str, value: Any) -> Any:
    """A plain value as the field holds it: lists as tuples, one size as a square, 1 as 1.0."""
    hint = _types()[name]
    if name == "image_size" and isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, list):
        value = tuple(value)
    is_number = hint is float or float in typing.get_args(hint)
    if is_number and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _type_problem(value: Any, hint: Any) -> str | None:
    """What is wrong with a value's type, or None."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return None if value in arguments else f"allowed are {', '.join(map(str, arguments))}"
    if origin is tuple:
        number = all(
            isinstance(each, int if arguments[0] is int else int | float)
            and not isinstance(each, bool)
            for each in (value if isinstance(value, tuple) else ())
        )
        if not isinstance(value, tuple) or len(value) != len(arguments) or not number:
            kind = "whole numbers" if arguments[0] is int else "numbers"
            return f"it must be {len(arguments)} {kind}"
        return next((each for each in map(_type_problem, value, arguments) if each), None)
    if origin is types.UnionType:
        problems = [_type_problem(value, each) for each in arguments]
        return None if None in problems else problems[0]
    if hint is type(None):
        return None if value is None else "it must be absent"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        return "it must be a finite number"
    fits = isinstance(value, (int, float) if hint is float else hint)
    if not fits or (isinstance(value, bool) and hint is not bool):
        return f"it must be {names[hint]}"
    return None


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(each) for each in value)}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
