"""A weights file of any kind to a bundle that can be deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.bundle import Bundle, Manifest, today, write_bundle
from pplcnet.errors import InputError, UnknownNameError, WeightsError, require
from pplcnet.models.creation import create_model
from pplcnet.preprocessing import Preprocessing
from pplcnet.weights.bundled import KERAS_FILE, pack_weights
from pplcnet.weights.files import WeightsFile, read_weights
from pplcnet.weights.loading import fill
from pplcnet.weights.options import network_options
from pplcnet.wording import counted

__all__ = ["convert", "imagenet_classes", "read_inference_settings"]


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 class names of ImageNet-1k in the order of the official weights (WordNet lemmas)."""
    text = Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def convert(
    path: str | PathLike[str],
    out: str | PathLike[str],
    *,
    network: str | None = None,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Write a bundle with the Keras variant of a weights file; `pplcnet.export` adds the deployed.

    Args:
        path: any file that `read_weights` reads.
        network: name in the catalog; not needed where the file says it.
        classes: names; default those beside an inference model, and ImageNet's where there are
            1000.
        preprocessing: default what belongs to the file.

    Raises:
        WeightsError: unreadable, or it does not fit the network.
        InputError: the network or the classes are neither in the file nor given, or contradict it.
    """
    path = Path(path)
    weights = read_weights(path)
    if weights.kind == "folded":
        raise WeightsError(f"{path}: has no classifier; train one: pplcnet train --weights {path}.")
    name = network or weights.network
    if name is None:
        raise InputError(f"{path}: does not say which network it is; name it with --model.")
    if weights.network is not None and name != weights.network:
        raise InputError(f"{path}: is {weights.network}, not {name}.")
    beside_classes, beside_preprocessing = read_inference_settings(weights.beside)
    options = _options_for(name, weights, path)
    names = tuple(classes or beside_classes or _default_classes(options["num_classes"], path))
    if len(names) != options["num_classes"] or len(set(names)) != len(names):
        raise InputError(
            f"{path}: has {counted(options['num_classes'], 'class')}; {len(set(names))} different "
            "names are "
            "given."
        )
    chosen = preprocessing or beside_preprocessing or _preprocessing_of(weights, options)
    options["image_size"] = chosen.image_size
    try:
        model = create_model(name, **options)
    except TypeError as error:  # a bundle's manifest can name any option
        raise WeightsError(f"{path}: its network cannot be rebuilt ({error}).") from error
    fill(model, weights, source=str(path))
    for told in ("num_classes", "image_size"):  # the manifest says these elsewhere
        options.pop(told)
    options.setdefault("dropout", None)
    manifest = Manifest(
        classes=names,
        preprocessing=chosen,
        network={"name": name, "options": options},
        variants={"keras": {"file": KERAS_FILE}},
        provenance={
            "created": today(),
            "weights": {"file": str(path), "sha256": _digest(path)},
            **(provenance or {}),
        },
    )
    return write_bundle(out, manifest, {KERAS_FILE: pack_weights(model)})


def _options_for(name: str, weights: WeightsFile, path: Path) -> dict[str, Any]:
    options = network_options(name, weights)
    if "num_classes" not in options:
        raise WeightsError(f"{path}: has no classifier.")
    return options


def _preprocessing_of(weights: WeightsFile, options: Mapping[str, Any]) -> Preprocessing:
    interpolations = {"original": "opencv-bilinear", "timm": "pillow-bicubic"}
    size = options.get("image_size", (224, 224))
    return Preprocessing.from_dict(
        {
            "image_size": tuple(size),
            "interpolation": interpolations.get(weights.kind, "pillow-bilinear"),
        }
    )


def _default_classes(count: int, path: Path) -> tuple[str, ...]:
    if count != len(imagenet_classes()):
        raise InputError(
            f"{path}: has {counted(count, 'class')} without names; give a file with a name a line "
            "to "
            "--classes."
        )
    return imagenet_classes()


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def read_inference_settings(
    folder: Path | None,
) -> tuple[tuple[str, ...] | None, Preprocessing | None]:
    """Classes and preprocessing from the `inference.yml` that PaddleX puts beside a model."""
    path = folder / "inference.yml" if folder is not None else None
    if path is None or not path.is_file():
        return None, None
    yaml = require("yaml", purpose="reading inference.yml", extra="train")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        operations: dict[str, Any] = {}
        for step in settings["PreProcess"]["transform_ops"]:
            operations |= step
        post = next(iter(settings["PostProcess"].values()))
        classes = tuple(str(each) for each in post["label_list"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not in PaddleX' form ({error!r}).") from error
    return classes, _preprocessing_from(operations, path)


_WITHOUT_EFFECT = {"DecodeImage", "ToCHWImage", "KeepKeys"}


def _preprocessing_from(operations: Mapping[str, Any], path: Path) -> Preprocessing:
    """Resize to a size, or short side and centre crop; then mean and standard deviation."""
    known = {"ResizeImage", "CropImage", "NormalizeImage", *_WITHOUT_EFFECT}
    for name in operations:
        if name not in known:
            raise UnknownNameError(f"preprocessing step in {path}", name, known)
    try:
        resize, crop = operations["ResizeImage"], operations.get("CropImage")
        normalize = operations["NormalizeImage"]
        if abs(float(normalize.get("scale", 1 / 255)) * 255 - 1) > 1e-6:
            raise WeightsError(f"{path}: scales pixels by {normalize['scale']}, not by 1/255.")
        values: dict[str, Any] = {
            "interpolation": "opencv-bilinear",
            "mean": tuple(map(float, normalize["mean"])),
            "std": tuple(map(float, normalize["std"])),
        }
        if crop is None:
            size = resize["size"]
            width, height = (size, size) if isinstance(size, int) else size
            values |= {"image_size": (int(height), int(width)), "resize": "stretch"}
        else:
            size = crop["size"]
            width, height = (size, size) if isinstance(size, int) else size
            fraction = min(int(height), int(width)) / int(resize["resize_short"])
            values |= {"image_size": (int(height), int(width)), "crop_fraction": fraction}
        return Preprocessing.from_dict(values)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its preprocessing cannot be used ({error!r}).") from error
