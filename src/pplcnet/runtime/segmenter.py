"""Segmenter: opens a segmenter's bundle and predicts a class for each pixel of photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import Any

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import ImageSource
from pplcnet.runtime.looking import Look, Looking, look_of
from pplcnet.runtime.model import Model
from pplcnet.runtime.windowing import Windows, windows_of
from pplcnet.tasks.segmentation.decoding import Segmentation

__all__ = ["Segmenter"]


class Segmenter(Model[Segmentation]):
    """A `Model` for segmentation; a bundle of another task raises InputError.

    Its predictions have a class for each pixel of the upright photo.
    """

    def predict(
        self,
        image: ImageSource,
        *,
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        flip: bool = False,
        scales: Sequence[float] | None = None,
        most_pixels: int | None = None,
    ) -> Segmentation:
        """The class of each pixel of one image, on all cores.

        Args:
            image: as `Model.predict` takes it.
            window: for a large image: predict it in overlapping windows of this side in pixels, or
                (height, width), and average the logits where they overlap. With windows of the
                input's size, the image is seen at full resolution. None predicts the whole image at
                once.
            stride: from one window to the next, one number or (down, to the right). Default: three
                quarters of a window.
            flip: average the logits with those of the mirror image, which takes twice the time.
            scales: average the logits over inputs of these sizes, as multiples of the bundle's own;
                `pplcnet export --scales` adds the networks. Default: only the bundle's own.
            most_pixels: largest number of pixels of an image in windows. Default: 300 million. A
                TIFF in strips or tiles and a PNG are decoded part by part and take little more
                memory than their class map, one byte per pixel; a JPEG takes three more bytes per
                pixel.

        Raises:
            ImageError, BundleError: as `Model.predict`.
            InputError: windows that are too small, or too many for this image; scales that the
                bundle has no networks for.
        """
        look = look_of(_windows(window, stride, most_pixels), flip=flip, scales=scales)
        return super().predict(image) if look.is_plain else self._looking(look).predict(image)

    def predict_many(
        self,
        images: Iterable[ImageSource] | str | PathLike[str],
        *,
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        flip: bool = False,
        scales: Sequence[float] | None = None,
        most_pixels: int | None = None,
    ) -> Iterator[Segmentation]:
        """The classes of any number of images, lazily and in order, on all cores.

        Args:
            images: as for `Model.predict_many`.
            window, stride, flip, scales, most_pixels: as for `predict`; images are then predicted
            one after the other.

        Raises:
            InputError: as `Model.predict_many` and `predict`.
        """
        look = look_of(_windows(window, stride, most_pixels), flip=flip, scales=scales)
        if look.is_plain:
            return super().predict_many(images)
        return self._looking(look).predict_many(images)

    def with_options(
        self,
        *,
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        flip: bool = False,
        scales: Sequence[float] | None = None,
        most_pixels: int | None = None,
    ) -> Model[Segmentation] | Looking:
        """This segmenter with the options of `predict`, as `pplcnet.evaluate` takes it.

        Raises:
            InputError: as `predict`.
        """
        look = look_of(_windows(window, stride, most_pixels), flip=flip, scales=scales)
        return self if look.is_plain else self._looking(look)

    def _looking(self, look: Look) -> Looking:
        """Cached for the next image: the networks for other scales are read once."""
        if look not in self._looks:
            self._looks[look] = Looking.of(self, look)
        return self._looks[look]

    def _start(self) -> None:
        super()._start()
        self._looks: dict[Look, Looking] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_looks"}

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        if not issubclass(self._task.prediction, Segmentation):
            raise InputError(
                f"{bundle}: its task is {self._task.name}, but a Segmenter is for segmentation; "
                "open it with pplcnet.load."
            )


def _windows(
    window: int | tuple[int, int] | None,
    stride: int | tuple[int, int] | None,
    most_pixels: int | None,
) -> Windows | None:
    if window is not None:
        return windows_of(window, stride, most_pixels)
    if stride is not None or most_pixels is not None:
        raise InputError("stride and most_pixels need windows; give window too.")
    return None
