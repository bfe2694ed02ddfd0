"""What a model is asked about images: a prediction, an embedding, or the outputs themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, NoReturn, TypeVar

from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.task import Outputs

__all__ = ["Answer", "Question", "raise_error"]

Answer = TypeVar("Answer")


class Question(NamedTuple, Generic[Answer]):
    """What is wanted of an image."""

    outputs: tuple[str, ...]
    """Of the network; no others are computed."""
    decode: Callable[[Outputs, Geometry, str], Answer]
    """Outputs of one image, where it lies in the network's input, and its name to the answer."""
    refuse: Callable[[str, ImageError], Answer]
    """The name of an image that cannot be used, and why, to the answer."""


def raise_error(_: str, error: ImageError) -> NoReturn:
    """For questions that an image without an answer ends."""
    raise error
