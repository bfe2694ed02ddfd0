"""Recognises the network in a saved Keras model by its configuration, without building anything.

A model of the catalog, fine-tuned with plain Keras, may stand alone or have a few layers without
weights around it: scaling or augmentation before it, a softmax or sigmoid after it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pplcnet.errors import WeightsError
from pplcnet.models import catalog

__all__ = ["STRIDED", "SavedModel", "check_layers", "saved_model", "saved_options"]

MAX_DEPTH = 8
# PP-LCNet's layers that the option `strides` applies to, in its order.
STRIDED = ("conv1_conv", *(f"blocks{stage}_0_dw_conv_conv" for stage in (3, 4, 5, 6)))
_MODELS = ("Functional", "Model", "Sequential")
_TASKS = {"softmax": "classification", "sigmoid": "multilabel"}
# How a layer was built, trained or stored, with no effect on what it computes.
_WITHOUT_EFFECT = {
    "name", "trainable", "dtype", "batch_shape", "momentum", "seed", "autocast", "synchronized",
    "sparse", "ragged", "optional", "input_spec", "shape",
}  # fmt: skip
_WITHOUT_EFFECT_ENDINGS = ("_initializer", "_regularizer", "_constraint")


class SavedModel(NamedTuple):
    """A catalog network inside a saved model."""

    network: str | None
    """The network's name in the catalog; None if the model has another name."""
    layers: list[dict[str, Any]]
    """The configurations of the network's layers."""
    scaling: tuple[float, float] | None = None
    """(scale, offset) that the model itself applies to its input."""
    task: str = "classification"
    unknown: str = ""
    """A layer around the network that a bundle cannot hold; "" if there is none."""


def saved_model(config: Any) -> SavedModel | None:
    """The network in a configuration; None when there is none."""
    networks = [each for each in _models(config, 0) if len(_layers(each)) > 10]
    if not networks:
        return None
    named = [each for each in networks if _network_name(each)]
    network = (named or networks)[0]
    layers = _layers(network)
    saved = SavedModel(_network_name(network), layers)
    if network is not config:
        return _with_surroundings(saved, config, network)
    task = _TASKS.get(_activation(layers[-1]))
    is_after_logits = layers[-2].get("class_name") == "Dense"
    if task is None or not is_after_logits:
        return saved
    return saved._replace(task=task, layers=layers[:-1])


def _activation(layer: Mapping[str, Any]) -> str:
    kind = str(layer.get("class_name"))
    return str(_config(layer).get("activation")) if kind == "Activation" else kind.lower()


def _models(config: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the model itself and the models among its layers, outermost first."""
    if not isinstance(config, dict) or config.get("class_name") not in _MODELS or depth > MAX_DEPTH:
        return
    yield config
    for layer in _layers(config):
        yield from _models(layer, depth + 1)


def _layers(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    found = layers if isinstance(layers, list) else []
    return [each for each in found if isinstance(each, dict) and isinstance(_config(each), dict)]


def _config(layer: Mapping[str, Any]) -> Any:
    return layer.get("config")


def _network_name(config: Mapping[str, Any]) -> str | None:
    name = config["config"].get("name")
    name = name.removesuffix("_embedding") if isinstance(name, str) else None
    return name if name in catalog.CATALOG else None


def saved_options(name: str, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Options of `build_model` for the network `name`, without num_classes.

    Raises:
        WeightsError: the layers do not state them.
    """
    configs = {str(_config(each).get("name")): _config(each) for each in layers}
    options: dict[str, Any] = {"dropout": _number(configs.get("dropout", {}).get("rate", 0.0))}
    for layer in layers:
        shape = _config(layer).get("batch_shape")
        if layer.get("class_name") == "InputLayer" and isinstance(shape, list) and len(shape) == 4:
            size = tuple(shape[1:3])
            if all(isinstance(side, int) for side in size):
                options["image_size"] = size
    family = catalog.find(name).family
    if family == "pplcnet":
        options["strides"] = tuple(
            _stride(configs.get(each, {}).get("strides")) for each in STRIDED
        )
        options["last_conv"] = "last_conv" in configs
        options["last_conv_bias"] = bool(configs.get("last_conv", {}).get("use_bias", False))
    elif family == "pplcnetv2":
        options["deploy"] = not any("_list_" in each for each in configs)
    return options


def _stride(value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, list) else [value, value]
    if len(sides) == 2 and all(side in (1, 2) for side in sides):
        return int(sides[0]), int(sides[1])
    raise WeightsError("its configuration does not say the strides of PP-LCNet.")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WeightsError("its configuration has a value that is not the number expected there.")
    return float(value)


def _with_surroundings(saved: SavedModel, whole: Any, network: Mapping[str, Any]) -> SavedModel:
    """`saved` with the layers before and after the network, each either used or unknown."""
    is_before, is_ended, source = True, False, None
    for layer in _layers(whole):
        kind, config = str(layer.get("class_name")), _config(layer)
        activation = _activation(layer)
        taken = [each[0] for each in _sources(layer)]
        if whole["class_name"] != "Sequential" and taken != ([source] if source else []):
            return saved._replace(
                unknown=f"{kind} {config.get('name')!r}, not in sequence with the rest,"
            )
        source = config.get("name")
        if layer is network:
            is_before = False
        elif kind == "InputLayer" or (kind.startswith("Random") and is_before):
            continue  # augmentation has no effect in inference
        elif kind == "Rescaling" and is_before and saved.scaling is None:
            scaling = (_number(config.get("scale")), _number(config.get("offset")))
            saved = saved._replace(scaling=scaling)
        elif not (is_before or is_ended) and activation in _TASKS:
            saved, is_ended = saved._replace(task=_TASKS[activation]), True
        else:
            return saved._replace(unknown=f"{kind} {config.get('name')!r}")
    return saved if not is_before else saved._replace(unknown="a model in another model")


def check_layers(model: Any, layers: Sequence[Mapping[str, Any]], source: str) -> None:
    """WeightsError unless the saved layers are those of `model`, connected in the same way."""
    own = json.loads(model.to_json())["config"]["layers"]
    saved = {str(_config(each).get("name")): each for each in layers}
    faults = [
        f"missing: {_config(each)['name']}" for each in own if _config(each)["name"] not in saved
    ]
    known = {_config(each)["name"] for each in own}
    faults += [f"left over: {name}" for name in saved if name not in known]
    for layer in own:
        other = saved.get(_config(layer)["name"])
        if other is not None:
            faults += _differences(layer, other)
    if faults:
        raise WeightsError(
            f"{source}: differs from {model.name} as the catalog has it; a bundle holds "
            "only networks of the catalog.",
            faults[:20],
        )


def _differences(own: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    name = _config(own)["name"]
    if own["class_name"] != other.get("class_name"):
        yield f"{name}: is a {other.get('class_name')}, not a {own['class_name']}"
        return
    if _sources(own) != _sources(other):
        yield f"{name}: has other inputs"
    for key, value in _config(own).items():
        if key in _WITHOUT_EFFECT or key.endswith(_WITHOUT_EFFECT_ENDINGS):
            continue
        given = _config(other).get(key, value)
        if key == "units" and name in ("fc", "out", "fc_1"):
            continue  # the number of classes
        if given != value:
            yield f"{name}: {key} is {str(given)[:60]}, not {str(value)[:60]}"


def _sources(layer: Mapping[str, Any]) -> list[Any]:
    """The layers that a layer gets its inputs from, in order."""
    found: list[Any] = []
    waiting: list[Any] = [layer.get("inbound_nodes")]
    while waiting and len(found) < 100:
        value = waiting.pop()
        if isinstance(value, dict):
            history = value.get("keras_history")
            if isinstance(history, list) and history:
                found.append([history[0], history[2:]])
            else:
                waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found
