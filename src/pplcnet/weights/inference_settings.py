"""Reads `inference.yml`, which PaddleX puts beside a model: class names, preprocessing, task.

Every key is either used, known not to change predictions (`WITHOUT_EFFECT`), or rejected by name.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pplcnet.errors import InputError, UnknownNameError, WeightsError
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.system.plain_yaml import SIZE_LIMIT, Text, parse_yaml
from pplcnet.weights.limits import read_file

__all__ = ["WITHOUT_EFFECT", "InferenceSettings", "read_inference_settings"]

WITHOUT_EFFECT = {
    "": {"Global", "Hpi"},  # the model's name; settings of Paddle's own high-performance inference
    "DecodeImage": {"backend", "to_np"},
    "ResizeImage": {"return_numpy"},
    "KeepKeys": {"keep_keys"},
    "Topk": {"topk"},  # how many classes are printed
}
"""Keys that do not change predictions, by the section or step that they are in."""

# In the required order.
_STEPS = ("DecodeImage", "ResizeImage", "CropImage", "NormalizeImage", "ToCHWImage", "KeepKeys")
# (backend, interpolation) to ours; OpenCV's numbers are taken for its names.
_INTERPOLATIONS = {
    ("cv2", "bilinear"): "opencv-bilinear",
    ("cv2", "1"): "opencv-bilinear",
    ("cv2", "bicubic"): "opencv-bicubic",
    ("cv2", "2"): "opencv-bicubic",
    ("pil", "bilinear"): "pillow-bilinear",
    ("pil", "bicubic"): "pillow-bicubic",
}
_NUMBER = re.compile(r"[-+]?(\d{1,20}(\.\d{0,40})?|\.\d{1,40})([eE][-+]?\d{1,3})?", re.ASCII)


class InferenceSettings(NamedTuple):
    """The content of an `inference.yml`; the defaults are those of a model without one."""

    classes: tuple[str, ...] | None = None
    preprocessing: Preprocessing | None = None
    task: str = "classification"
    threshold: float | None = None
    """For the task "multilabel": the lowest probability at which a label is predicted."""


def read_inference_settings(folder: Path | None) -> InferenceSettings:
    """The settings beside a model.

    Raises:
        WeightsError: not PaddleX's form, or with settings that a bundle cannot hold.
        UnknownNameError: an unknown step or key.
        MissingDependencyError: PyYAML is not installed.
    """
    path = folder / "inference.yml" if folder is not None else None
    if path is None or not path.exists():
        return InferenceSettings()
    content = read_file(path, 4 * SIZE_LIMIT)
    try:
        return _Reader(path).read(_parsed(content.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: is not UTF-8 text.") from error
    except WeightsError as error:
        raise WeightsError(f"{path}: not in PaddleX's form: {error}") from error


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text, purpose="reading inference.yml")
    except InputError as error:
        raise WeightsError(str(error)) from error


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, settings: Any) -> InferenceSettings:
        given = self._section("", settings, {"PreProcess", "PostProcess"})
        before = self._section("PreProcess", given.get("PreProcess"), {"transform_ops"})
        preprocessing = self._preprocessing(self._steps(before.get("transform_ops")))
        classes, task, threshold = self._postprocessing(given.get("PostProcess"))
        told = settings.get("Global")
        count = told.get("class_num") if isinstance(told, dict) else None
        if count is not None and _whole(count, "class_num") != len(classes):
            raise WeightsError(f"class_num is {count}, but there are {len(classes)} labels.")
        return InferenceSettings(classes, preprocessing, task, threshold)

    def _section(self, name: str, values: Any, used: set[str]) -> dict[str, Any]:
        """The keys of a section that are used; UnknownNameError for unknown ones."""
        if isinstance(values, Text) and values.is_null:
            values = {}
        if not isinstance(values, dict):
            raise WeightsError(f"{name or 'the file'} is not a mapping.")
        known = used | WITHOUT_EFFECT.get(name, set())
        for key in values:
            if key not in known:
                where = f"key of {name}" if name else "section"
                raise UnknownNameError(f"{where} in {self.path}", str(key)[:60], known)
        return {
            key: value
            for key, value in values.items()
            if key in used and not (isinstance(value, Text) and value.is_null)
        }

    def _steps(self, steps: Any) -> dict[str, Any]:
        if not isinstance(steps, list) or len(steps) > len(_STEPS):
            raise WeightsError("transform_ops is not a list of steps.")
        found: dict[str, Any] = {}
        for step in steps:
            if not isinstance(step, dict) or len(step) != 1:
                raise WeightsError("a step of transform_ops is not a name with its settings.")
            (name, values), *_ = step.items()
            if name not in _STEPS:
                raise UnknownNameError(f"preprocessing step in {self.path}", str(name)[:60], _STEPS)
            if found and _STEPS.index(name) <= _STEPS.index(list(found)[-1]):
                raise WeightsError(f"{name} comes after {list(found)[-1]}; it has to come before.")
            found[str(name)] = values
        return found

    def _preprocessing(self, steps: Mapping[str, Any]) -> Preprocessing:
        decode = self._section("DecodeImage", steps.get("DecodeImage", {}), {
            "to_rgb", "channel_first", "img_mode",
        })  # fmt: skip
        _require(decode, "to_rgb", "true", "takes its colours in an order other than RGB")
        _require(decode, "channel_first", "false", "decodes to channels first")
        _require(decode, "img_mode", "rgb", "takes its colours in an order other than RGB")
        for name in ("ToCHWImage", "KeepKeys"):
            self._section(name, steps.get(name, {}), set())
        normalize = self._section("NormalizeImage", steps.get("NormalizeImage", {}), {
            "scale", "mean", "std", "order", "channel_num", "is_scale", "output_fp16",
        })  # fmt: skip
        _require(normalize, "order", ("", "hwc"), "normalises channels first")
        _require(normalize, "channel_num", "3", "takes a number of channels other than 3")
        _require(normalize, "is_scale", "true", "does not scale pixels by 1/255")
        _require(normalize, "output_fp16", "false", "takes 16-bit numbers")
        scale = _ratio(normalize["scale"]) if "scale" in normalize else 1 / 255
        if abs(scale * 255 - 1) > 1e-6:
            raise WeightsError(f"scales pixels by {scale:g}, not by 1/255.")
        values = {"mean": _three(normalize, "mean"), "std": _three(normalize, "std")}
        values |= self._resize(steps)
        try:
            return Preprocessing.from_dict(values)
        except InputError as error:
            raise WeightsError(f"its preprocessing cannot be used ({error})") from error

    def _resize(self, steps: Mapping[str, Any]) -> dict[str, Any]:
        """Resize to a size, or short side and centre crop."""
        resize = self._section("ResizeImage", steps.get("ResizeImage", {}), {
            "size", "resize_short", "interpolation", "backend", "keep_ratio",
        })  # fmt: skip
        _require(
            resize, "keep_ratio", "false", "keeps the aspect ratio, by padding or another size"
        )
        backend = str(resize.get("backend", "cv2")).lower()
        method = str(resize.get("interpolation", "bilinear" if backend == "cv2" else "")).lower()
        interpolation = _INTERPOLATIONS.get((backend, method))
        if interpolation is None:
            raise WeightsError(
                f"resizes by {backend[:20]}'s {method[:20] or 'default'} interpolation; "
                "allowed are bilinear of cv2, and bilinear and bicubic of pil."
            )
        values: dict[str, Any] = {"interpolation": interpolation}
        if "CropImage" not in steps:
            if "resize_short" in resize or "size" not in resize:
                raise WeightsError("its preprocessing cannot be used: it leads to no fixed size.")
            return values | {"image_size": _size(resize["size"]), "resize": "stretch"}
        crop = self._section("CropImage", steps["CropImage"], {"size"})
        if "size" in resize or "resize_short" not in resize or "size" not in crop:
            raise WeightsError("its preprocessing cannot be used: CropImage needs resize_short.")
        size, short = _size(crop["size"]), _whole(resize["resize_short"], "resize_short")
        if size[0] != size[1]:
            raise WeightsError("crops to a part that is not square.")
        return values | {"image_size": size, "crop_fraction": min(size) / short}

    def _postprocessing(self, section: Any) -> tuple[tuple[str, ...], str, float | None]:
        if not isinstance(section, dict) or len(section) != 1:
            raise WeightsError("PostProcess is not one step.")
        (name, values), *_ = section.items()
        if name == "Topk":
            given = self._section("Topk", values, {"label_list"})
            return self._labels(given.get("label_list")), "classification", None
        if name == "MultiLabelThreshOutput":
            given = self._section(name, values, {"label_list", "threshold"})
            threshold = _number(given["threshold"], "threshold") if "threshold" in given else 0.5
            if not 0 <= threshold <= 1:
                raise WeightsError(f"its threshold is {threshold:g}; it must be from 0 to 1.")
            return self._labels(given.get("label_list")), "multilabel", threshold
        known = ("Topk", "MultiLabelThreshOutput")
        raise UnknownNameError(f"postprocessing in {self.path}", str(name)[:60], known)

    def _labels(self, given: Any) -> tuple[str, ...]:
        if isinstance(given, Text) and not given.is_null:
            given = self._labels_of_file(str(given))
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            raise WeightsError("label_list is not a list of names.")
        names = tuple(str(each) for each in given)
        if not names or not all(name.strip() for name in names):
            raise WeightsError("label_list is empty, or has an empty name.")
        return _made_unique(names)

    def _labels_of_file(self, name: str) -> list[str]:
        """The lines of a file beside this one; a name that leads elsewhere is rejected."""
        if Path(name).name != name or {"\\", "\0"} & {*name} or name in (".", ".."):
            raise WeightsError(
                f"label_list names the file {name[:80]!r}; it must be one beside inference.yml."
            )
        content = read_file(self.path.with_name(name), 4 * SIZE_LIMIT)
        return [line.strip() for line in content.decode("utf-8-sig").splitlines() if line.strip()]


def _made_unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, duplicates with their index appended: Paddle's ImageNet list has two cranes."""
    counts = Counter(names)
    return tuple(
        f"{name} ({number})" if counts[name] > 1 else name for number, name in enumerate(names)
    )


def _require(values: Mapping[str, Any], key: str, allowed: str | tuple[str, ...], why: str) -> None:
    """WeightsError if a key is given with a value that a bundle cannot represent."""
    given = values.get(key)
    if given is None:
        return
    allowed = (allowed,) if isinstance(allowed, str) else allowed
    if not isinstance(given, Text) or given.lower() not in allowed:
        raise WeightsError(f"{why} ({key}: {str(given)[:40]}); this cannot be used.")


def _number(given: Any, key: str) -> float:
    if not isinstance(given, Text) or not _NUMBER.fullmatch(given):
        raise WeightsError(f"{key} cannot be used: {str(given)[:40]!r} is not a number.")
    value = float(given)
    if not math.isfinite(value):
        raise WeightsError(f"{key} cannot be used: {str(given)[:40]!r} is too large.")
    return value


def _ratio(given: Any) -> float:
    """A number, or a quotient such as PaddleClas' 1.0/255.0."""
    above, _, below = str(given).partition("/") if isinstance(given, Text) else ("", "", "")
    divisor = _number(_plain(below), "scale") if below else 1.0
    if divisor == 0:
        raise WeightsError("scale cannot be used: it divides by 0.")
    return _number(_plain(above), "scale") / divisor


def _plain(text: str) -> Text:
    made = Text(text.strip())
    made.is_plain = True
    return made


def _whole(given: Any, key: str) -> int:
    value = _number(given, key)
    if value != int(value) or not 1 <= value <= 1_000_000:
        raise WeightsError(f"{key} cannot be used: {str(given)[:40]!r} is not a whole number >= 1.")
    return int(value)


def _size(given: Any) -> tuple[int, int]:
    """(height, width) from a number or a list (width, height)."""
    sides = given if isinstance(given, list) else [given, given]
    if len(sides) != 2:
        raise WeightsError("a size is neither a number nor (width, height).")
    width, height = (_whole(side, "size") for side in sides)
    return height, width


def _three(values: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    given = values.get(key)
    if not isinstance(given, list) or len(given) != 3:
        raise WeightsError(f"its preprocessing cannot be used: {key} is not three numbers.")
    first, second, third = (_number(each, key) for each in given)
    return first, second, third
