"""Detector: opens a detector's bundle and predicts the objects in photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike

from pplcnet.errors import InputError
from pplcnet.imaging.decoding import ImageSource
from pplcnet.imaging.windows import OVERLAP
from pplcnet.runtime.model import Model
from pplcnet.runtime.tiling import Tiled, tiles_of
from pplcnet.tasks.detection.decoding import Detections

__all__ = ["Detector"]


class Detector(Model[Detections]):
    """A `Model` for object detection; a bundle of another task raises InputError.

    Its predictions have boxes in pixels of the upright photo.
    """

    def predict(
        self,
        image: ImageSource,
        *,
        tiles: int | tuple[int, int] | None = None,
        overlap: float = OVERLAP,
    ) -> Detections:
        """Find the objects in one image, on all cores.

        Args:
            image: as `Model.predict` takes it.
            tiles: for small objects in a large image: also predict overlapping tiles of this side
                in pixels, or (height, width), and merge the boxes. With tiles of the input's size,
                the image is seen at full resolution. An image no larger than a tile is only
                predicted as a whole.
            overlap: of neighbouring tiles, as a fraction of their sides; objects up to that size
                are seen whole in one of them.

        Raises:
            ImageError, BundleError: as `Model.predict`.
            InputError: tiles that are too small, or too many for this image.
        """
        if tiles is None:
            return super().predict(image)
        return self.with_options(tiles=tiles, overlap=overlap).predict(image)

    def predict_many(
        self,
        images: Iterable[ImageSource] | str | PathLike[str],
        *,
        tiles: int | tuple[int, int] | None = None,
        overlap: float = OVERLAP,
    ) -> Iterator[Detections]:
        """Find the objects in any number of images, lazily and in order, on all cores.

        Args:
            images: as for `Model.predict_many`.
            tiles: as for `predict`; images are then predicted one after the other.
            overlap: as for `predict`.

        Raises:
            InputError: as `Model.predict_many` and `predict`.
        """
        if tiles is None:
            return super().predict_many(images)
        return self.with_options(tiles=tiles, overlap=overlap).predict_many(images)

    def with_options(
        self, *, tiles: int | tuple[int, int] | None = None, overlap: float = OVERLAP
    ) -> Model[Detections] | Tiled:
        """This detector with the options of `predict`, as `pplcnet.evaluate` takes it.

        Raises:
            InputError: as `predict`.
        """
        return self if tiles is None else Tiled(self, tiles_of(tiles, overlap))

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        if not issubclass(self._task.prediction, Detections):
            raise InputError(
                f"{bundle}: its task is {self._task.name}, but a Detector is for detection; open "
                "it with pplcnet.load."
            )
