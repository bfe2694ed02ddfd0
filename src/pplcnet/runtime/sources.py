"""The images to predict: several, or those in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from pplcnet.data.image_files import PassedOver, find_images
from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.decoding import ImageSource, source_name
from pplcnet.imaging.files import is_file_object, read_image_file

__all__ = ["describe", "images_of", "predicted_in_turn", "read_once"]

Answer = TypeVar("Answer")


def images_of(images: Iterable[ImageSource] | str | PathLike[str]) -> Iterator[ImageSource]:
    """Yield several images, or those in a folder and its subfolders.

    Raises:
        InputError: a single image, or a folder that does not exist; after the last image, folders
            in it that cannot be read.
    """
    if (
        isinstance(images, bytes | bytearray | memoryview | Image.Image)
        or (isinstance(images, np.ndarray) and images.ndim < 4)
        or is_file_object(images)
    ):
        raise InputError(
            f"{describe(images)}: is one image; predict takes one, predict_many several (a list of "
            "them, or a folder)."
        )
    if isinstance(images, str | PathLike):
        folder = Path(images)
        if not folder.is_dir():
            raise InputError(
                f"{folder}: no such folder; predict_many takes a folder or several images, predict "
                "takes one."
            )
        return _images_in(folder)
    try:
        return iter(images)
    except TypeError:
        raise InputError(
            f"predict_many takes a folder or several images, not {describe(images)}."
        ) from None


def predicted_in_turn(
    images: Iterable[ImageSource] | str | PathLike[str],
    predict: Callable[[ImageSource], Answer],
    refuse: Callable[[str, ImageError], Answer],
) -> Iterator[Answer]:
    """Yield an answer for each image, one after the other.

    Args:
        images: as in `images_of`.
        predict: answers one image.
        refuse: turns the name of an unusable image and its error into an answer.

    Raises:
        InputError: as `images_of`.
    """

    def answer(image: ImageSource) -> Answer:
        try:
            return predict(image)
        except ImageError as error:
            return refuse(describe(image), error)

    return map(answer, images_of(images))


def read_once(image: ImageSource) -> ImageSource:
    """An image that will be used more than once: the content of its file, or the image itself.

    Raises:
        ImageError: the file cannot be read.
    """
    return image if isinstance(image, np.ndarray | Image.Image) else read_image_file(image)


def _images_in(folder: Path) -> Iterator[ImageSource]:
    """Yield all images that can be reached, then raise an error naming what cannot."""
    passed_over = PassedOver()
    yield from find_images(folder, passed_over)
    passed_over.raise_unreadable(folder)


def describe(image: Any) -> str:
    """A short description of an image, for predictions and messages: its path if it has one."""
    if isinstance(image, str | PathLike):
        return os.fsdecode(image)
    if isinstance(image, bytes | bytearray):
        return f"{len(image)} bytes"
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or f"PIL image {image.width}x{image.height}")
    if isinstance(image, np.ndarray):
        return f"array {image.shape}"
    try:
        return source_name(image)
    except Exception:  # noqa: BLE001 - an object of anyone's may raise anything
        return f"the {type(image).__name__}"
