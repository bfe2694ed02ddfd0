"""The photos that are worth a look, each with where the network looked."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import PPLCNetError
from pplcnet.pages.pictures import data_uri, overlaid
from pplcnet.pages.scored import Answers, Scored

__all__ = ["cards", "looked_at", "open_gradcam"]

SHOWN = 12
SIDE = 160


def open_gradcam(bundle: Bundle, before_keras: Callable[[], object]) -> tuple[Any, str]:
    """A `GradCam` of the bundle's Keras variant, or None and why there is none."""
    if "keras" not in bundle.manifest.variants:
        return None, "The bundle has no Keras variant, which Grad-CAM needs."
    if importlib.util.find_spec("keras") is None:
        return None, (
            "Keras is not installed here, which Grad-CAM needs: pip install 'pplcnet[train]'."
        )
    try:
        before_keras()
        from pplcnet.pages.gradcam import GradCam
        from pplcnet.weights.bundled import restore_model

        return GradCam(restore_model(bundle), bundle.manifest.preprocessing), ""
    except (PPLCNetError, ImportError) as error:
        return None, f"Grad-CAM is not possible here: {error}"


def cards(
    answers: Answers, bundle: Bundle, gradcam: Any, shown: int = SHOWN
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The most confident mistakes and the least sure photos, for the page's cards.

    A mistake shows what spoke for the answer and what for the label; an unsure photo its two most
    probable classes.
    """
    wrong = np.nonzero(~answers.is_right)[0]
    wrong = wrong[np.argsort(-answers.confidences[wrong], kind="stable")][:shown]
    unsure = np.argsort(answers.confidences, kind="stable")[:shown]
    seconds = np.argsort(-answers.probabilities[unsure], axis=1, kind="stable")[:, 1]
    looks = [
        *((at, (answers.answers[at], answers.labels[at])) for at in wrong),
        *((at, (answers.answers[at], second)) for at, second in zip(unsure, seconds, strict=True)),
    ]
    made = [
        {
            "label": answers.classes[answers.labels[at]],
            "is_right": bool(answers.is_right[at]),
            **card,
        }
        for (at, _), card in zip(looks, looked_at(answers, bundle, gradcam, looks), strict=True)
    ]
    return made[: len(wrong)], made[len(wrong) :]


def looked_at(
    answers: Scored, bundle: Bundle, gradcam: Any, looks: Sequence[tuple[int, Sequence[int]]]
) -> list[dict[str, Any]]:
    """Photos as the network sees them, each with what speaks for some classes.

    Args:
        looks: places of photos and of their classes, equally many for each photo.
    """
    prepare = bundle.manifest.preprocessing
    images = [answers.dataset.images[at] for at, _ in looks]
    pixels = [prepare(image.path) for image in images]
    maps = _maps(gradcam, pixels, [classes for _, classes in looks])
    return [
        {
            "name": answers.dataset.name_of(image),
            "picture": data_uri(_scaled(each)),
            "looks": [
                {
                    "label": answers.classes[chosen],
                    "probability": float(answers.probabilities[at, chosen]),
                    "picture": None if maps is None else data_uri(overlaid(each, heat, SIDE)),
                }
                for chosen, heat in zip(classes, _of(maps, number, len(classes)), strict=True)
            ],
        }
        for number, ((at, classes), image, each) in enumerate(
            zip(looks, images, pixels, strict=True)
        )
    ]


def _maps(
    gradcam: Any, pixels: list[NDArray[np.uint8]], classes: list[Sequence[int]]
) -> NDArray[np.float32] | None:
    """(photos, classes, h, w): for each of the classes of every photo."""
    if gradcam is None or not pixels:
        return None
    stacked = np.stack(pixels)
    return np.stack(
        [gradcam.maps(stacked, np.array(each)) for each in zip(*classes, strict=True)], axis=1
    )


def _of(maps: NDArray[np.float32] | None, number: int, classes: int) -> Sequence[Any]:
    return [None] * classes if maps is None else list(maps[number])


def _scaled(pixels: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return image
