"""Segmenter: a bundle of a segmentation network in, a class for each pixel of photos out."""

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
    """A `Model` of a bundle for segmentation; a bundle of another task is an InputError.

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
            window: for a large image: it is looked at in overlapping windows of this side in
                pixels, or (height, width), and the logits of those that cover a pixel are averaged.
                The image's own pixels are seen where it is the input's size. None looks at the
                whole image once.
            stride: from one window to the next, one number or (down, to the right). Default: three
                quarters of a window.
            flip: average the logits with those of the mirror image, in twice the time.
            scales: average the logits over inputs of these sizes, as multiples of the bundle's own;
                `pplcnet export --scales` adds the networks. Default: the bundle's own alone.
            most_pixels: that an image in windows may have. Default: 300 million. A TIFF in strips
                or tiles and a PNG are decoded a part at a time, and take little more memory than
                their class map, a byte a pixel; a JPEG takes three bytes a pixel more.

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
        """The classes of any number of images, lazily and in order, every core busy.

        Args:
            images: as for `Model.predict_many`.
            window, stride, flip, scales, most_pixels: as for `predict`; the images are taken one
                after the other then.

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
        """Kept for the next image: the networks of other scales are read once."""
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
