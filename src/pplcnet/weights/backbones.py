"""Backbones that ship with pplcnet, to start training without a download: `weights="fractal"`.

They were pretrained on pictures drawn by formulas, so no photos and no licences are involved. There
is one `.npz` file per network in `weights/backbones/`: every array is called `layer.variable` and
has Keras' layout, as in `native`. BatchNorm's moving statistics are included, the classifier is
not. The array `about` holds a JSON text: the format version, the network and how it was made.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pplcnet.errors import WeightsError
from pplcnet.models import catalog
from pplcnet.recipe.formula_backbones import ABOUT, ABOUT_LIMIT, FORMAT
from pplcnet.recipe.starts import FRACTAL
from pplcnet.system.files import write_arrays

if TYPE_CHECKING:  # numpy is not needed to list them
    import numpy as np

__all__ = ["FRACTAL", "backbone_path", "shipped_networks", "take_about", "write_backbone"]

FOLDER = Path(__file__).parent / "backbones"
_CLASSIFIERS = frozenset({"fc", "fc_1", "out"})


def shipped_networks() -> list[str]:
    """Names of the networks that have a shipped backbone, in the catalog's order."""
    return [name for name in catalog.CATALOG if _place(name).is_file()]


def backbone_path(network: str) -> Path:
    """The path of a network's shipped backbone; WeightsError lists the networks that have one."""
    path = _place(network)
    if path.is_file():
        return path
    shipped = ", ".join(shipped_networks())
    has = f"there are some for {shipped}" if shipped else "this installation has none"
    raise WeightsError(f"{network} has no {FRACTAL!r} backbone; {has}.")


def _place(network: str) -> Path:
    return FOLDER / f"{network}.npz"


def write_backbone(
    path: str | PathLike[str],
    network: str,
    values: Mapping[str, np.ndarray],
    *,
    made_with: Mapping[str, Any],
    without: Collection[str] = (),
) -> None:
    """Write a backbone file; the same values give the same bytes.

    Kernels are stored as float16. Vectors (biases, BatchNorm's variables) stay float32: they are a
    small part of the file, and variances can lie outside the range of float16.

    Args:
        path: the file, with the ending `.npz`.
        network: a name of the catalog.
        values: all weights and statistics by `layer.variable`, as `native.get_values` gives them.
        made_with: how it was made, as JSON values.
        without: layers to leave out besides the classifier, such as "last_conv".

    Raises:
        WeightsError: values that are NaN, infinite or too large for float16.
        StorageError: the file cannot be written.
    """
    import numpy as np

    left_out = _CLASSIFIERS.union(without)
    with np.errstate(over="ignore"):  # overflow gives infinity, which is reported below
        arrays = {
            name: np.asarray(value, np.float16 if np.ndim(value) > 1 else np.float32)
            for name, value in values.items()
            if name.partition(".")[0] not in left_out
        }
    if faults := sorted(name for name, value in arrays.items() if not np.isfinite(value).all()):
        raise WeightsError(f"{path}: NaN, infinity or too large for float16: {faults[0]}.")
    about = {
        "format": FORMAT,
        "network": catalog.find(network).name,
        "made_with": dict(made_with),
    }
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    write_arrays(path, {ABOUT: text, **arrays}, compressed=True)


def take_about(tensors: dict[str, np.ndarray], source: str) -> dict[str, Any]:
    """Remove the array `about` from a file's tensors and return its content; {} if there is none.

    Raises:
        WeightsError: it cannot be read, or has a later format.
    """
    content = tensors.pop(ABOUT, None)
    if content is None:
        return {}
    try:
        if content.dtype != "uint8" or content.size > ABOUT_LIMIT:
            raise ValueError("not a short text")
        about = json.loads(content.tobytes())
        if not isinstance(about, dict) or not isinstance(about["network"], str):
            raise ValueError("it names no network")
        is_known = about["format"] == FORMAT
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(f"{source}: its description cannot be read ({error!r}).") from error
    if not is_known:
        raise WeightsError(f"{source}: was written by a later version of pplcnet; update pplcnet.")
    return about
