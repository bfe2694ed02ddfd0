"""Cards of single photos: what the network sees, and its evidence for some classes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle.bundle import Bundle
from pplcnet.errors import PPLCNetError
from pplcnet.pages.pictures import data_uri, overlaid
from pplcnet.pages.section import ReportContext, Section

__all__ = ["SHOWN", "Card", "card_sections", "make_cards", "open_gradcam"]

SHOWN = 12
"""The number of cards of one kind on a page."""
SIDE = 160


class Card(NamedTuple):
    """An image, and the classes to show the evidence for."""

    at: int
    """Index of the image in the evaluated data set."""
    classes: tuple[int, ...]


def open_gradcam(bundle: Bundle, before_keras: Callable[[], object]) -> tuple[Any, str]:
    """A `GradCam` of the bundle's Keras variant, or None with the reason why there is none."""
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


def card_sections(
    mistakes: Sequence[dict[str, Any]],
    uncertain: Sequence[dict[str, Any]],
    *,
    explanations: tuple[str, str],
    gradcam_missing: str,
) -> list[Section]:
    """Sections for the most confident mistakes, if any, and for the least certain photos.

    Args:
        mistakes, uncertain: values of each card for the task's `cards.html`.
        explanations: the texts of the two sections.
        gradcam_missing: a sentence on why there are no heat maps; "" if there are.
    """
    kinds = (
        ("mistakes", "Mistakes", "The most confident mistakes", mistakes),
        ("unsure", "Uncertain", "The least certain photos", uncertain),
    )
    sections = []
    for (name, title, heading, cards), explanation in zip(kinds, explanations, strict=True):
        values = {
            "heading": heading,
            "explanation": explanation,
            "gradcam_missing": gradcam_missing,
            "cards": cards,
        }
        sections.append(Section(name, title, "cards.html", values))
    return sections if mistakes else sections[1:]


def make_cards(
    context: ReportContext, probabilities: NDArray[np.floating], chosen: Sequence[Card]
) -> list[dict[str, Any]]:
    """Values for the macro `seen`, one per card.

    Args:
        probabilities: (N, classes) for the evaluated images.
        chosen: cards with the same number of classes each.
    """
    prepare, classes = context.bundle.manifest.preprocessing, context.bundle.classes
    images = [context.reported.images[each.at] for each in chosen]
    pixels = [prepare(image.path) for image in images]
    maps = _maps(context.gradcam, pixels, [each.classes for each in chosen])
    return [
        {
            "name": context.reported.name_of(image),
            "picture": data_uri(_scaled(seen)),
            "looks": [
                {
                    "label": classes[at],
                    "probability": float(probabilities[card.at, at]),
                    "picture": None if heat is None else data_uri(overlaid(seen, heat, SIDE)),
                }
                for at, heat in zip(card.classes, heats, strict=True)
            ],
        }
        for card, image, seen, heats in zip(chosen, images, pixels, maps, strict=True)
    ]


def _maps(
    gradcam: Any, pixels: list[NDArray[np.uint8]], classes: list[tuple[int, ...]]
) -> Sequence[Sequence[NDArray[np.float32] | None]]:
    """For each image, a heat map (h, w) per class; None without Grad-CAM."""
    if gradcam is None or not pixels:
        return [[None] * len(each) for each in classes]
    stacked = np.stack(pixels)
    of_classes = [gradcam.maps(stacked, np.array(each)) for each in zip(*classes, strict=True)]
    return list(zip(*of_classes, strict=True))


def _scaled(pixels: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return image
