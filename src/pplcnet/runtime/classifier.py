"""Classifier: a bundle in, predictions out; no training framework in the process."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle import Bundle, Manifest
from pplcnet.dataset import find_images
from pplcnet.errors import ImageError, InputError
from pplcnet.prediction import Prediction
from pplcnet.preprocessing import ImageSource
from pplcnet.runtime.engine import Engine
from pplcnet.runtime.onnxruntime_engine import OnnxRuntimeEngine

__all__ = ["Classifier"]

# Pictures decoded ahead of the one that is asked for, for each worker: enough that no core waits,
# few enough that a folder of any size needs the same memory.
AHEAD_PER_WORKER = 4
NO_LOGITS = np.empty(0, np.float32)


class Classifier:
    """Answers which class a picture shows.

    Takes paths, the bytes of image files, PIL images and uint8 arrays ((H, W), (H, W, 3) RGB or
    (H, W, 4) RGBA). Safe to use from several threads.
    """

    def __init__(self, bundle: str | PathLike[str], *, threads: int | None = None) -> None:
        """Open a bundle folder or .zip.

        Args:
            bundle: what `pplcnet train` or `pplcnet export` made.
            threads: cores to use, for one picture or over many; None for all.

        Raises:
            BundleError: no bundle, damaged, or without an exported network.
            InputError: `threads` below 1.
        """
        if threads is not None and threads < 1:
            raise InputError(f"threads is {threads}; it must be at least 1.")
        opened = Bundle.open(bundle)
        self.manifest: Manifest = opened.manifest
        self._content = opened.read(str(opened.variant("onnx")["file"]))
        self._threads = threads
        self._engine: Engine = OnnxRuntimeEngine(self._content, threads=threads)
        self._stream_engine: Engine | None = None
        self._lock = Lock()

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        return self.manifest.classes

    def predict(self, image: ImageSource) -> Prediction:
        """Classify one picture, on all cores; ImageError when it cannot be used."""
        pixels = self.manifest.preprocessing(image)
        return Prediction(_describe(image), self._engine.run(pixels[np.newaxis])[0], self.classes)

    def predict_many(
        self, images: Iterable[ImageSource] | str | PathLike[str]
    ) -> Iterator[Prediction]:
        """Classify any number of pictures, lazily and in order, every core busy.

        Memory does not grow with the number of pictures. A picture that cannot be used yields a
        prediction whose `error` says why; the rest goes on.

        Args:
            images: pictures as `predict` takes them, or one folder, whose image files are taken
                with those of its subfolders.
        """
        if isinstance(images, str | PathLike):
            folder = Path(images)
            if not folder.is_dir():
                raise InputError(
                    f"{folder}: no such folder; predict_many takes a folder or several pictures, "
                    "predict takes one."
                )
            images = find_images(folder)
        return self._stream(images)

    def _stream(self, images: Iterable[ImageSource]) -> Iterator[Prediction]:
        workers = self._threads or available_cores()
        engine = self._one_thread_engine()
        source = iter(images)
        pending: deque[Future[Prediction]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="pplcnet-predict") as pool:
            try:
                while True:
                    while len(pending) < workers * AHEAD_PER_WORKER:
                        try:
                            image = next(source)
                        except StopIteration:
                            break
                        pending.append(pool.submit(self._predict_or_report, engine, image))
                    if not pending:
                        return
                    yield pending.popleft().result()
            finally:
                for each in pending:
                    each.cancel()

    def _predict_or_report(self, engine: Engine, image: ImageSource) -> Prediction:
        try:
            pixels = self.manifest.preprocessing(image)
        except ImageError as error:
            return Prediction(_describe(image), NO_LOGITS, self.classes, error)
        return Prediction(_describe(image), engine.run(pixels[np.newaxis])[0], self.classes)

    def _one_thread_engine(self) -> Engine:
        # Over many pictures a thread a core, each decoding and running its own picture, beats
        # sharing the cores within one picture: nothing waits for anything.
        with self._lock:
            if self._stream_engine is None:
                self._stream_engine = OnnxRuntimeEngine(self._content, threads=1)
            return self._stream_engine

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Prepared pictures (N, height, width, 3) uint8 to logits (N, classes) float32."""
        fixed = self._engine.batch_size
        if fixed is None:
            return self._engine.run(images)
        parts = [self._engine.run(images[at : at + fixed]) for at in range(0, len(images), fixed)]
        return np.concatenate(parts)


def available_cores() -> int:
    """Cores that this process may use, which a container may limit below what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _describe(image: ImageSource) -> str:
    if isinstance(image, str | PathLike):
        return os.fspath(image)
    if isinstance(image, bytes | bytearray):
        return f"{len(image)} bytes"
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or f"PIL image {image.width}x{image.height}")
    return f"array {image.shape}"
