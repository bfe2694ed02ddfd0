"""Segment photos in several looks: in windows, mirrored, and at several scales.

For each pixel, the logits of all looks are averaged before its class is taken, as in PaddleSeg's
sliding windows and test-time augmentation. If an input differs in size from the photo, logits are
resized to the photo's pixels in one step; PaddleSeg takes two.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.decoding import ImageSource
from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.large_images import open_bands
from pplcnet.imaging.windows import Window, windows_of_image
from pplcnet.runtime.model import Model
from pplcnet.runtime.sources import describe, predicted_in_turn, read_once
from pplcnet.runtime.streaming import streams_of
from pplcnet.runtime.windowing import Windows, cut_windows
from pplcnet.system.processor import processor_name
from pplcnet.tasks.segmentation.class_maps import class_map
from pplcnet.tasks.segmentation.decoding import CellLogits, Segmentation
from pplcnet.tasks.segmentation.windowed import Answered, class_map_of_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Look", "Looking", "look_of"]

MOST_SCALES = 16


class Look(NamedTuple):
    """How a segmenter looks at a photo."""

    windows: Windows | None = None
    """None looks at the whole photo at once."""
    flip: bool = False
    """Whether to look at the mirror image of each input as well."""
    scales: tuple[float, ...] = (1.0,)
    """Multiples of the sides of the network's input."""

    @property
    def is_plain(self) -> bool:
        """Whether it is a single look at the whole photo, which a plain `Model` does."""
        return self == Look()


def look_of(
    windows: Windows | None = None, *, flip: bool = False, scales: Sequence[float] | None = None
) -> Look:
    """A look at photos; InputError for scales that no bundle can have, or a meaningless `flip`."""
    if not isinstance(flip, bool | np.bool_):
        raise InputError(f"flip is {flip!r}; it must be True or False.")
    if scales is None:
        return Look(windows, bool(flip))
    if isinstance(scales, int | float):
        scales = (scales,)
    try:
        found = tuple(dict.fromkeys(float(each) for each in scales))
    except (TypeError, ValueError):
        found = ()
    if not 1 <= len(found) <= MOST_SCALES or not all(0.1 <= each <= 10 for each in found):
        raise InputError(
            f"scales is {scales!r}; it must be up to {MOST_SCALES} numbers from 0.1 to 10, as in "
            "(0.75, 1, 1.25)."
        )
    return Look(windows, bool(flip), found)


@dataclass(frozen=True)
class Looking:
    """A segmenter with a `Look`; predicts like a `Model`."""

    model: Model[Segmentation]
    look: Look
    scaled: tuple[Model[Segmentation], ...]
    """One network per scale."""

    @classmethod
    def of(cls, model: Model[Segmentation], look: Look) -> Looking:
        """Combine a model with the bundle's networks for the scales.

        Raises:
            InputError: the bundle crops its photos, or lacks a network for one of the scales.
        """
        if model.manifest.preprocessing.resize == "cover":
            raise InputError(
                "windows, mirror images and scales are for bundles that see whole photos; this one "
                "crops their centre (resize is 'cover')."
            )
        return cls(model, look, tuple(model.at_scale(each) for each in look.scales))

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.model.manifest

    def predict(self, image: ImageSource) -> Segmentation:
        """Predict the classes of one image.

        Raises:
            ImageError: the image cannot be used.
            InputError: there would be too many windows.
        """
        if self.look.windows is not None:
            return self._in_windows(image, self.look.windows)
        return self._whole(image)

    def predict_many(
        self, images: Iterable[ImageSource] | str | os.PathLike[str]
    ) -> Iterator[Segmentation]:
        """Predict the classes of any number of images, one after the other.

        An image that cannot be used yields a prediction with an error.

        Raises:
            InputError: as `predict` and `Model.predict_many`.
        """
        return predicted_in_turn(images, self.predict, Segmentation)

    def _whole(self, image: ImageSource) -> Segmentation:
        name = describe(image)
        content = read_once(image)
        try:
            answers = [next(self._answers(model, ((None, content),))) for model in self.scaled]
        except ImageError as error:
            raise ImageError(name, error.reason) from error
        _, logits, geometry = answers[0]
        width, height = geometry.size
        if len(answers) == 1 and self.scaled[0] is self.model:
            cells = CellLogits(logits, geometry, self.manifest.preprocessing.image_size)
            found = class_map(logits, geometry, cells.input_size)
            return Segmentation(name, None, found, self.model.classes, cells)
        found = self._class_map((height, width), answers)
        return Segmentation(name, None, found, self.model.classes)

    def _in_windows(self, image: ImageSource, windows: Windows) -> Segmentation:
        """Holds only the class map and the rows below one row of windows in memory."""
        name = describe(image)
        with open_bands(image, most_pixels=windows.most_pixels) as bands:
            width, height = bands.size
            places = windows_of_image(bands.size, windows.size, windows.stride, name)
            # All scales take each window as it arrives, so that none runs far ahead.
            streams = streams_of(
                zip(places, cut_windows(bands.parts, places), strict=True), len(self.scaled)
            )
            looks = [
                self._answers(model, stream)
                for model, stream in zip(self.scaled, streams, strict=True)
            ]
            answers = itertools.chain.from_iterable(zip(*looks, strict=True))
            found = self._class_map((height, width), answers)
        return Segmentation(name, None, found, self.model.classes)

    def _class_map(self, size: tuple[int, int], answers: Iterable[Answered]) -> NDArray[np.uint8]:
        return class_map_of_windows(size, answers, self.manifest.preprocessing.image_size)

    def _answers(
        self, model: Model[Segmentation], parts: Iterable[tuple[Window | None, ImageSource]]
    ) -> Iterator[Answered]:
        """Yield one network's logits for each part; a part of None is the whole photo."""
        preprocessing = model.manifest.preprocessing_on(processor_name())
        own, wanted = preprocessing.image_size, self.manifest.preprocessing.image_size
        windows: deque[Window | None] = deque()
        geometries: deque[Geometry] = deque()

        def inputs() -> Iterator[ImageSource]:
            for window, part in parts:
                windows.append(window)
                if not self.look.flip:
                    yield part
                    continue
                # Mirrored after preprocessing, so that the padding is mirrored too.
                pixels, geometry = preprocessing.place(part)
                geometries.append(geometry)
                yield pixels
                yield pixels[:, ::-1]

        outputs = ((found["logits"], place) for found, place in model.run_many(inputs()))
        for logits, geometry in outputs:
            if self.look.flip:
                # Enlarging is linear, so small logits can be averaged instead of large ones.
                logits = (logits + next(outputs)[0][:, ::-1]) / np.float32(2)
                geometry = geometries.popleft()
            # As if the input had the bundle's own size.
            geometry = geometry.then((wanted[1] / own[1], wanted[0] / own[0]), (0, 0))
            yield windows.popleft() or Window(0, 0, *geometry.size), logits, geometry
