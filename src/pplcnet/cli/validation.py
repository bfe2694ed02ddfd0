"""What the verbs share that judge a bundle by validation photos."""

from __future__ import annotations

import argparse

from pplcnet.dataset import Dataset

__all__ = ["add_bundle_and_validation", "add_max_drop", "validation_part"]


def add_bundle_and_validation(parser: argparse.ArgumentParser) -> None:
    """The bundle that is changed, and the photos that decide."""
    parser.add_argument("bundle", metavar="BUNDLE", help="an exported bundle folder")
    parser.add_argument(
        "--validation",
        required=True,
        metavar="PHOTOS",
        help="labelled photos, as 'train' takes them; their validation split where there is one",
    )


def add_max_drop(parser: argparse.ArgumentParser) -> None:
    """The guard that quantising and tuning share."""
    parser.add_argument(
        "--max-drop",
        type=float,
        default=0.005,
        metavar="D",
        help="how far top-1 (or mAP, for several labels a photo) on the validation photos may fall "
        "below float32's. Default: 0.005",
    )


def validation_part(photos: str) -> Dataset:
    """The validation split where the photos have one, else all of them."""
    dataset = Dataset.open(photos)
    part = dataset.subset("validation")
    return part if len(part) else dataset
