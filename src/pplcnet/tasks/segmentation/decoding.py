"""Decodes a segmentation network's logits to a class for each pixel of one image."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import InputError, UnknownNameError, printable
from pplcnet.imaging.geometry import UNKNOWN, Geometry
from pplcnet.system.arguments import check_count, check_share
from pplcnet.system.notebook import bars, facts_table
from pplcnet.tasks.segmentation.class_maps import class_map, logits_of_rows
from pplcnet.tasks.task import Outputs, Prediction

if TYPE_CHECKING:
    from PIL import Image

    from pplcnet.imaging.decoding import ImageSource

__all__ = ["Segmentation", "decoder"]

SHOWN = 5
OPACITY = 0.5
FAST = 1
"""The zlib level; higher ones gain little on class maps."""
COUNTED = 1 << 20
"""The number of pixels counted at a time."""
NOTHING = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class CellLogits:
    """A network's logits for one image, and how they map to the image."""

    logits: NDArray[np.float32]
    """(h, w, classes) at the head's own resolution."""
    geometry: Geometry
    """Maps the image to the network's input."""
    input_size: tuple[int, int]
    """The (height, width) of the network's input."""


class PackedMap(NamedTuple):
    """A class map compressed by zlib to a hundredth of its size, as most pixels equal those before
    them."""

    content: bytes
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Segmentation(Prediction):
    """The class of each pixel of one image."""

    _class_map: NDArray[np.uint8] = field(default_factory=lambda: NOTHING)
    classes: Sequence[str] = ()
    """The bundle's classes."""
    _cells: CellLogits | None = None
    _packed: PackedMap | None = None
    """The compressed class map, in predictions that are kept."""

    can_be_drawn: ClassVar[bool] = True
    file_ending: ClassVar[str] = ".png"
    columns: ClassVar[tuple[str, ...]] = ("label", "share", "pixels")

    def __repr__(self) -> str:
        kind = type(self).__name__
        if self.error is not None:
            return f"<{kind} {self.source!r}: error: {printable(self.error.reason)}>"
        height, width = self.class_map.shape
        return f"<{kind} {self.source!r}: {width}x{height}, {self.to_text(SHOWN)}>"

    def _repr_html_(self) -> str:
        if self.error is not None:
            return facts_table(self.source, [("error", self.error.reason)])
        rows = [(row["label"], row["share"]) for row in self.rows(SHOWN)]
        height, width = self.class_map.shape
        return bars(self.source, rows, f"shares of {width}x{height} pixels")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The class map, so that numpy accepts the prediction directly."""
        return np.array(self.class_map, dtype=dtype, copy=copy)

    @property
    def class_map(self) -> NDArray[np.uint8]:
        """(H, W) uint8 of the upright image: indices into `classes`.

        255 marks pixels that the network did not see: those outside the crop of a "cover" resize.
        """
        if self.error is not None:
            raise self.error
        if self._packed is None:
            return self._class_map
        content, shape = self._packed
        return np.frombuffer(zlib.decompress(content), np.uint8).reshape(shape)

    def kept(self) -> Self:
        """The same without logits; its class map is compressed and takes milliseconds to read."""
        if self.error is not None or self._packed is not None:
            return self
        packed = PackedMap(zlib.compress(self._class_map.tobytes(), FAST), self._class_map.shape)
        return replace(self, _class_map=NOTHING, _cells=None, _packed=packed)

    def mask_of(self, label: str) -> NDArray[np.bool_]:
        """(H, W) bool: whether each pixel belongs to a class.

        Raises:
            UnknownNameError: there is no such class.
        """
        return np.equal(self.class_map, self._place_of(label))

    def area_of(self, label: str) -> int:
        """The number of pixels of a class.

        Raises:
            UnknownNameError: there is no such class.
        """
        return int(_pixel_counts(self.class_map)[self._place_of(label)])

    def _place_of(self, label: str) -> int:
        if label not in self.classes:
            raise UnknownNameError("class", str(label), self.classes)
        return list(self.classes).index(label)

    def probabilities(self) -> NDArray[np.float32]:
        """(H, W, classes) float32 of the upright image: softmax of the logits at each pixel.

        Computed anew at every call; it takes 4 bytes per pixel and class.

        Raises:
            InputError: there are no logits, because the image was predicted in windows, at several
                scales or in an evaluation.
        """
        found = self.class_map
        if self._cells is None:
            raise InputError(
                f"{self.source}: has no probabilities, because it was predicted in windows, at "
                "several scales or in an evaluation; predict the whole photo."
            )
        cells = self._cells
        rows = range(found.shape[0])
        logits = logits_of_rows(cells.logits, cells.geometry, cells.input_size, rows)
        logits -= logits.max(axis=2, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=2, keepdims=True)
        return logits

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        """Label, share of the image and pixels of each class that occurs, the largest first."""
        if most is not None:
            check_count(most, "most")
        found = self.class_map
        counts = _pixel_counts(found)[: len(self.classes)]
        order = [at for at in np.argsort(-counts, kind="stable").tolist() if counts[at]]
        return [
            {
                "label": self.classes[at],
                "share": round(int(counts[at]) / found.size, 6),
                "pixels": int(counts[at]),
            }
            for at in order[:most]
        ]

    def to_text(self, most: int | None = None) -> str:
        """Labels with their shares of the image."""
        return "  ".join(f"{row['label']} {row['share']:.1%}" for row in self.rows(most))

    def to_png(self, path: str | os.PathLike[str]) -> None:
        """Write the class map as a palette PNG whose values are class indices.

        Raises:
            OSError: the file cannot be written.
        """
        from pplcnet.tasks.segmentation.drawing import as_palette_image

        as_palette_image(self.class_map).save(path, "PNG")

    def write(self, path: str | os.PathLike[str]) -> None:
        """`to_png`."""
        self.to_png(path)

    def overlay(self, photo: ImageSource | None = None, opacity: float = OPACITY) -> Image.Image:
        """The upright photo overlaid with the colour of each pixel's class.

        Args:
            photo: the predicted image; None if `source` is its path.
            opacity: of the colours, 0 to 1.

        Raises:
            ImageError: the photo cannot be used, or is not the one that was predicted.
            InputError: the opacity is not from 0 to 1.
        """
        from pplcnet.tasks.segmentation.drawing import overlay

        check_share(opacity, "opacity")

        return overlay(self.photo(photo), self.class_map, opacity)

    def draw(self, photo: ImageSource | None = None) -> Image.Image:
        """`overlay`, half transparent."""
        return self.overlay(photo)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """ "class_map" uint8 (height, width): the classes of the pixels of the network's input."""
        if self.error is not None:
            raise self.error
        if self._cells is None:
            return {}
        logits, size = self._cells.logits, self._cells.input_size
        whole = Geometry((size[1], size[0]))
        return {"class_map": class_map(logits, whole, size)}


def _pixel_counts(class_map: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(256,) pixels of each value; counted in parts, as bincount takes 8 bytes per pixel."""
    flat = class_map.reshape(-1)
    counts = np.zeros(UNKNOWN + 1, np.int64)
    for start in range(0, flat.size, COUNTED):
        counts += np.bincount(flat[start : start + COUNTED], minlength=UNKNOWN + 1)
    return counts


@dataclass(frozen=True, slots=True)
class MapDecoder:
    """Decodes the output "logits"."""

    classes: tuple[str, ...]
    input_size: tuple[int, int]

    def __call__(self, outputs: Outputs, geometry: Geometry, source: str) -> Segmentation:
        """The classes of one image's pixels, from logits (h, w, classes)."""
        logits = outputs["logits"]
        found = class_map(logits, geometry, self.input_size)
        cells = CellLogits(logits, geometry, self.input_size)
        return Segmentation(source, None, found, self.classes, cells)


def decoder(manifest: Manifest) -> MapDecoder:
    """The decoder for a manifest's classes and input."""
    return MapDecoder(manifest.classes, manifest.preprocessing.image_size)
