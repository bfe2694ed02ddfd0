"""Segmenter: a bundle of a segmentation network in, a class for each pixel of photos out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import ImageSource
from pplcnet.runtime.model import Model
from pplcnet.runtime.sources import images_of
from pplcnet.runtime.windowing import predict_in_windows, predict_many_in_windows, windows_of
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

        Raises:
            ImageError, BundleError: as `Model.predict`.
            InputError: windows that are too small, or too many for this image.
        """
        if window is None:
            return super().predict(image)
        return predict_in_windows(self, image, windows_of(window, stride))

    def predict_many(
        self,
        images: Iterable[ImageSource] | str | PathLike[str],
        *,
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
    ) -> Iterator[Segmentation]:
        """The classes of any number of images, lazily and in order, every core busy.

        Args:
            images: as for `Model.predict_many`.
            window, stride: as for `predict`; the images are taken one after the other then.

        Raises:
            InputError: as `Model.predict_many` and `predict`.
        """
        if window is None:
            return super().predict_many(images)
        return predict_many_in_windows(self, images_of(images), windows_of(window, stride))

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        if not issubclass(self._task.prediction, Segmentation):
            raise InputError(
                f"{bundle}: its task is {self._task.name}, and a Segmenter is for segmentation; "
                "open it with pplcnet.load."
            )
