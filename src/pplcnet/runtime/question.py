"""What to ask of a model about images: a prediction, an embedding, or raw outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, NoReturn, TypeVar

from pplcnet.errors import ImageError
from pplcnet.imaging.geometry import Geometry
from pplcnet.tasks.task import Outputs

__all__ = ["Answer", "Question", "raise_error"]

Answer = TypeVar("Answer")


class Question(NamedTuple, Generic[Answer]):
    """The outputs to compute for an image, and how to turn them into an answer."""

    outputs: tuple[str, ...]
    """Outputs of the network; no others are computed."""
    decode: Callable[[Outputs, Geometry, str], Answer]
    """From one image's outputs, its place in the network's input, and its name, to the answer."""
    refuse: Callable[[str, ImageError], Answer]
    """From the name of an image that cannot be used, and the error, to the answer."""


def raise_error(_: str, error: ImageError) -> NoReturn:
    """A `refuse` that stops at the first image without an answer."""
    raise error
