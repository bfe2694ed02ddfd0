"""Segmenter: a bundle of a segmentation network in, a class for each pixel of photos out."""

from __future__ import annotations

from os import PathLike

from pplcnet.errors import InputError
from pplcnet.runtime.model import Model
from pplcnet.tasks.segmentation.decoding import Segmentation

__all__ = ["Segmenter"]


class Segmenter(Model[Segmentation]):
    """A `Model` of a bundle for segmentation; a bundle of another task is an InputError.

    Its predictions have a class for each pixel of the upright photo.
    """

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        if not issubclass(self._task.prediction, Segmentation):
            raise InputError(
                f"{bundle}: its task is {self._task.name}, and a Segmenter is for segmentation; "
                "open it with pplcnet.load."
            )
