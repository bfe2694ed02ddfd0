"""Converts a weights file of any kind to a bundle that can be deployed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import Manifest, today
from pplcnet.bundle.writing import check_place, write_bundle
from pplcnet.errors import InputError, WeightsError, printable
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.catalog import DETECTORS, SEGMENTERS, is_same, only_task
from pplcnet.system.wording import counted
from pplcnet.tasks import find, training_of
from pplcnet.weights.bundled import KERAS_FILE, pack_weights
from pplcnet.weights.files import WeightsFile, read_weights
from pplcnet.weights.inference_settings import InferenceSettings, read_inference_settings
from pplcnet.weights.keras_configs import check_layers
from pplcnet.weights.loading import fill
from pplcnet.weights.options import DETECTOR_CLASSES, SEGMENTER_CLASSES, network_options

__all__ = ["convert", "default_preprocessing", "imagenet_classes"]
DETECTOR_SIZE = (320, 320)
"""The input size of PicoDet's smallest official weights, if a file does not state its own."""

PORTRAIT_CLASSES = ("background", "person")


def coco_classes() -> tuple[str, ...]:
    """The 80 class names of COCO in the order of the official weights, which is by id."""
    text = Path(__file__).with_name("coco_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


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
    preprocessing: Preprocessing | Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle with the Keras variant of a weights file; `pplcnet.export` adds the others.

    Args:
        path: any file that `read_weights` reads.
        network: name in the catalog; not needed if the file states it.
        classes: class names. Default: those beside an inference model, or ImageNet's if there are
            1000.
        preprocessing: default: that of the file. A mapping overrides single fields of it. A
            `.keras` file is assumed to have been trained on images as loaded by Keras'
            `image_dataset_from_directory`, scaled by the model itself or by ImageNet's mean and
            standard deviation.
        overwrite: replace a bundle that exists at `out`.

    Raises:
        WeightsError: the file cannot be read or does not fit the network.
        InputError: `out` holds a bundle and `overwrite` is False; or the network or the classes
            are neither in the file nor given, or contradict it.
    """
    path = Path(path)
    check_place(Path(out), overwrite=overwrite)
    weights = read_weights(path)
    name, saved = _network_of(weights, network, path), weights.saved
    beside = read_inference_settings(weights.beside)
    options = _options_for(name, weights, path)
    names = tuple(classes or beside.classes or _default_classes(options["num_classes"], path, name))
    _check_names(names, options["num_classes"], path)
    chosen = _preprocessing_for(preprocessing, beside, weights, options, path)
    options["image_size"] = chosen.image_size
    task = only_task(name) or (beside.task if saved is None else saved.task)
    size = options.pop("image_size")
    del options["num_classes"]  # the manifest says both elsewhere
    try:
        model = training_of(find(task)).build(name, names, size, options)
    except TypeError as error:  # a bundle's manifest can name any option
        raise WeightsError(f"{path}: its network cannot be rebuilt ({error}).") from error
    if saved is not None:
        check_layers(model, saved.layers, str(path))
    fill(model, weights, source=str(path))
    options.setdefault("dropout", None)
    decoding = {}
    if beside.threshold is not None:
        decoding["thresholds"] = dict.fromkeys(names, beside.threshold)
    manifest = Manifest(
        classes=names,
        preprocessing=chosen,
        task=task,
        outputs=find(task).outputs(names, size, name),
        decoding=decoding,
        network={"name": name, "options": options},
        variants={"keras": {"file": KERAS_FILE}},
        provenance={
            "created": today(),
            "weights": {"file": str(path), "sha256": _digest(path)},
            **(provenance or {}),
        },
    )
    return write_bundle(out, manifest, {KERAS_FILE: pack_weights(model)}, overwrite=overwrite)


def _check_names(names: Sequence[str], needed: int, path: Path) -> None:
    if len(names) != needed:
        given = f"{counted(len(names), 'name')} {'is' if len(names) == 1 else 'are'} given"
        raise InputError(f"{path}: has {counted(needed, 'class')}, but {given}.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path}: the class name {printable(twice[0])!r} is given twice.")
    if not all(name.strip() for name in names):
        raise InputError(f"{path}: a class name is empty; give one for each of {needed} classes.")


def _network_of(weights: WeightsFile, given: str | None, path: Path) -> str:
    """The network's name in the catalog; errors if the file cannot become a bundle of it."""
    if weights.kind == "native" and weights.options is not None:
        raise InputError(f"{path}: is already a bundle; export it with 'pplcnet export'.")
    is_classifier = given is not None and given not in DETECTORS
    if weights.kind == "folded" and (is_classifier or DETECTOR_CLASSES not in weights.tensors):
        raise WeightsError(f"{path}: has no classifier; train one: pplcnet train --weights {path}.")
    name = given or weights.network
    if name is None:
        raise InputError(f"{path}: does not say which network it is; name it with --model.")
    if weights.network is not None and not is_same(name, weights.network):
        raise InputError(f"{path}: is {weights.network}, not {name}.")
    saved = weights.saved
    if saved is not None and saved.unknown:
        raise WeightsError(
            f"{path}: has the layer {saved.unknown} around {name}; a bundle holds only a "
            "network of the catalog. Save the network itself: model.get_layer(...).save(...)."
        )
    return name


def _options_for(name: str, weights: WeightsFile, path: Path) -> dict[str, Any]:
    options = network_options(name, weights)
    if "num_classes" not in options:
        raise WeightsError(
            f"{path}: has no classifier like that of {name}: it is only a backbone, or another "
            "network."
        )
    return options


def default_preprocessing(weights: WeightsFile, options: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing for a file that states none, with a `.keras` file's own scaling."""
    interpolations = {"original": "opencv-bilinear", "timm": "pillow-bicubic"}
    values: dict[str, Any] = {
        "image_size": tuple(options.get("image_size", (224, 224))),
        "interpolation": interpolations.get(weights.kind, "pillow-bilinear"),
    }
    if DETECTOR_CLASSES in weights.tensors:
        values = {
            "image_size": tuple(options.get("image_size", DETECTOR_SIZE)),
            "resize": "stretch",
            "interpolation": "opencv-bicubic",
        }
    if SEGMENTER_CLASSES in weights.tensors:
        # PaddleSeg's, for every network.
        values |= {"resize": "stretch", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    if weights.saved is not None:
        values |= {"resize": "stretch", "interpolation": "opencv-bilinear"}
    if weights.saved is not None and weights.saved.scaling is not None:
        scale, offset = weights.saved.scaling  # of pixels from 0 to 255
        if not scale > 0:
            raise WeightsError(f"the model scales pixels by {scale:g}; it must be more than 0.")
        deviation = 1 / (255 * scale)
        values |= {"mean": (-offset * deviation,) * 3, "std": (deviation,) * 3}
    return Preprocessing.from_dict(values)


def _preprocessing_for(
    given: Preprocessing | Mapping[str, Any] | None,
    beside: InferenceSettings,
    weights: WeightsFile,
    options: Mapping[str, Any],
    path: Path,
) -> Preprocessing:
    if isinstance(given, Preprocessing):
        return given
    chosen = beside.preprocessing or default_preprocessing(weights, options)
    scales_itself = weights.saved is not None and weights.saved.scaling is not None
    if scales_itself and {"mean", "std"} & set(given or {}):
        raise InputError(f"{path}: scales its own input; leave out mean and std.")
    return Preprocessing.from_dict(chosen.to_dict() | dict(given or {}))


def _default_classes(count: int, path: Path, network: str) -> tuple[str, ...]:
    known = imagenet_classes()
    if network in DETECTORS:
        known = coco_classes()
    elif network in SEGMENTERS:
        known = PORTRAIT_CLASSES if SEGMENTERS[network].head == "mobileseg_portrait" else ()
    if count != len(known):
        raise InputError(
            f"{path}: has {counted(count, 'class')} without names; pass them with --classes in the "
            "order of the outputs, as a,b,c or as a file with one name per line."
        )
    return known


def _digest(path: Path) -> str | None:
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else None
