"""Detector: a bundle of a detector in, the objects of photos out."""

from __future__ import annotations

from os import PathLike

from pplcnet.errors import InputError
from pplcnet.runtime.model import Model
from pplcnet.tasks.detection.decoding import Detections

__all__ = ["Detector"]


class Detector(Model[Detections]):
    """A `Model` of a bundle for object detection; a bundle of another task is an InputError.

    Its predictions have boxes in pixels of the upright photo.
    """

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        if not issubclass(self._task.prediction, Detections):
            raise InputError(
                f"{bundle}: its task is {self._task.name}, and a Detector is for detection; open "
                "it with pplcnet.load."
            )
