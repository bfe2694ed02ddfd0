"""The photos that a deployed network is compared and calibrated on."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from pplcnet.bundle import Bundle
from pplcnet.dataset import Dataset
from pplcnet.errors import InputError

__all__ = ["choose_images", "recorded_images"]

PARITY_IMAGES = 64


def choose_images(
    bundle: Bundle, images: Sequence[str | PathLike[str]] | None
) -> list[str | PathLike[str]]:
    """Photos to compare on, at most 64, evenly chosen; None takes those of the training."""
    given = recorded_images(bundle) if images is None else images
    if not given:
        raise InputError(f"{bundle.path}: no photos to compare the exported network on; give some.")
    return list(given[:: max(1, len(given) // PARITY_IMAGES)][:PARITY_IMAGES])


def recorded_images(bundle: Bundle) -> list[Path]:
    """The photos that the bundle was trained on, if they are still there.

    A run's split.csv beside the bundle lists them without those that the audit left out.
    """
    beside = bundle.path.resolve().parent / "split.csv"
    recorded = bundle.manifest.provenance.get("dataset", {}).get("photos")
    if recorded and beside.is_file():
        return [image.path for image in Dataset.open(beside).images]
    photos = Path(recorded) if recorded else None
    if photos is None or not photos.exists():
        raise InputError(
            f"{bundle.path}: the photos that it was trained on ({recorded}) are not here; give "
            "others to compare the exported network on."
        )
    return [image.path for image in Dataset.open(photos).images]
