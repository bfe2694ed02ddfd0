"""Classifier: a bundle in, predictions out; no training framework in the process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pplcnet.bundle.bundle import Bundle, read_consistently
from pplcnet.bundle.manifest import Manifest
from pplcnet.data.image_files import PassedOver, find_images
from pplcnet.errors import BundleError, ImageError, InputError
from pplcnet.imaging.decoding import ImageSource, source_name
from pplcnet.imaging.files import is_file_object
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines import forking
from pplcnet.runtime.engines.engine import Engine, open_engine, run_padded
from pplcnet.runtime.lone_network import open_network
from pplcnet.runtime.selection import Selection, choose
from pplcnet.runtime.streaming import answer_in_order
from pplcnet.system.notebook import facts_table
from pplcnet.system.processor import available_cores, processor_name
from pplcnet.system.wording import counted
from pplcnet.tasks import find
from pplcnet.tasks.scores import ScoredPrediction
from pplcnet.tasks.task import Outputs

__all__ = ["Classifier"]

# A worker decodes some pictures and then runs them: going to and fro between decoder and network
# costs a tenth to a fifth of the time, for what each throws out of the processor's caches.
CHUNK = 8
# Chunks that are read and not yet answered, for each worker: enough that no core waits, few enough
# that a folder of any size needs the same memory.
CHUNKS_PER_WORKER = 2


class Classifier:
    """Answers which class a picture shows, or which of several labels.

    `choice` says how it runs, `advice` what would make it better ("" when nothing is known).

    Takes paths, the bytes of image files, binary file objects, PIL images and uint8 arrays
    ((H, W), (H, W, 3) RGB or (H, W, 4) RGBA). Safe to use from several threads and in a forked
    process; pickle and copy it as you like. The network's memory is freed by `close`, or at the end
    of a `with` block.
    """

    def __init__(
        self,
        bundle: str | PathLike[str],
        *,
        threads: int | None = None,
        engine: str | None = None,
        precision: str | None = None,
        trust_network: bool = False,
    ) -> None:
        """Open a bundle folder or .zip, the folder of a run, or an exported .onnx file alone.

        It runs in the way that tuning found best on this processor; without tuning that is float32
        in ONNX Runtime.

        Args:
            bundle: what `pplcnet train` or `pplcnet export` made. An .onnx file alone has no
                temperature and no thresholds: probabilities are uncalibrated, labels begin at 0.5.
            threads: cores to use, for one picture or over many; None for all.
            engine: "onnxruntime", "openvino" or "litert" in place of what tuning chose.
            precision: "float32", "bfloat16", "int8" or "int8-bfloat16" in place of that.
            trust_network: run a network that pplcnet did not export. An engine that is given a
                hostile one can crash, read other files or never return.

        Raises:
            BundleError: no bundle, damaged, or without an exported network.
            InputError: `threads` below 1, or the bundle has not what was asked for.
            MissingDependencyError: the engine that was asked for is not installed.
        """
        if threads is not None and not (isinstance(threads, int | np.integer) and threads >= 1):
            raise InputError(f"threads is {threads!r}; it must be a whole number of at least 1.")

        def select(opened: Bundle) -> tuple[Manifest, Selection, bytes]:
            selection = choose(opened, engine=engine, precision=precision)
            content = opened.read(str(opened.variant(selection.choice.variant)["file"]))
            return opened.manifest, selection, content

        if Path(bundle).suffix.lower() == ".onnx" and not os.path.isdir(bundle):
            network = open_network(Path(bundle))
            precision = precision or network.precision
            self.manifest, selection, self._content = select(network)
            selection = selection._replace(advice=network.caveat)
        else:
            self.manifest, selection, self._content = read_consistently(bundle, select)
        self.choice, tuned_threads, self.advice = selection
        self._prepare = self.manifest.preprocessing_on(processor_name())
        self._threads = threads
        self._is_trusted = trust_network
        self._latency_threads = threads or tuned_threads or available_cores()
        self._start()

    def _start(self) -> None:
        """No engine is open yet: after opening, unpickling, and in a forked child."""
        self._task = find(self.manifest.task)
        self._decode = self._task.decoder(self.manifest)
        self._lock = Lock()
        self._engines: dict[int, Engine] = {}
        forking.watch(self)

    def after_fork(self) -> None:
        """Open the engines anew: the threads of the parent's are not in this process."""
        forking.abandon(self._engines)
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open engines; another process opens its own."""
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_lock", "_engines", "_task", "_decode")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    def close(self) -> None:
        """Free the network's memory; this classifier cannot be used any more."""
        with self._lock:
            self._engines.clear()
            self._content = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.manifest.preprocessing.image_size
        network = self.manifest.network.get("name", "network")
        return (
            f"<Classifier {network} {height}x{width}, "
            f"{counted(len(self.classes), self._task.noun)}, {self.choice}"
            f"{'' if self._content else ', closed'}>"
        )

    def _repr_html_(self) -> str:
        return facts_table(repr(self)[1:-1], self.manifest.facts())

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        return self.manifest.classes

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """From which probability on each label counts as shown; None for one class per image."""
        found: tuple[float, ...] | None = getattr(self._decode, "thresholds", None)
        return found

    def predict(self, image: ImageSource) -> ScoredPrediction:
        """Classify one picture, on all cores.

        Raises:
            ImageError: the picture cannot be used.
            BundleError: the network cannot be run, or answers with NaN.
        """
        engine = self._engine(streams=1)
        pixels = self._prepared(image)
        if isinstance(pixels, ImageError):
            raise pixels
        outputs = run_padded(engine, pixels[np.newaxis])
        return self._answer(image, {name: each[0] for name, each in outputs.items()})

    def predict_many(
        self, images: Iterable[ImageSource] | str | PathLike[str]
    ) -> Iterator[ScoredPrediction]:
        """Classify any number of pictures, lazily and in order, every core busy.

        Memory does not grow with the number of pictures. A picture that cannot be used yields a
        prediction whose `error` says why; the rest goes on. Each answer is there as soon as its
        picture is done, whether or not there is a next one: a camera or a queue may wait for it.

        Args:
            images: pictures as `predict` takes them, or one folder, whose image files are taken
                with those of its subfolders. A generator is read in a thread of its own, a few
                pictures ahead; what it raises is raised here, after the answers before it.

        Raises:
            InputError: one picture, or a folder that does not exist; after all answers, folders
                in it that cannot be read.
        """
        if (
            isinstance(images, bytes | bytearray | memoryview | Image.Image)
            or (isinstance(images, np.ndarray) and images.ndim < 4)
            or is_file_object(images)
        ):
            raise InputError(
                f"{_describe(images)}: is one picture; predict takes one, predict_many several "
                "(a list of them, or a folder)."
            )
        if isinstance(images, str | PathLike):
            folder = Path(images)
            if not folder.is_dir():
                raise InputError(
                    f"{folder}: no such folder; predict_many takes a folder or several pictures, "
                    "predict takes one."
                )
            return self._of_folder(folder)
        try:
            return self._stream(iter(images))
        except TypeError:
            raise InputError(
                f"predict_many takes a folder or several pictures, not {_describe(images)}."
            ) from None

    def _of_folder(self, folder: Path) -> Iterator[ScoredPrediction]:
        """Every photo that can be reached is answered before an error names what cannot."""
        passed_over = PassedOver()
        yield from self._stream(find_images(folder, passed_over))
        passed_over.raise_unreadable(folder)

    def _stream(self, images: Iterator[ImageSource]) -> Iterator[ScoredPrediction]:
        workers = self._threads or available_cores()
        yield from answer_in_order(
            images,
            partial(self._predict_or_report, self._engine(streams=workers)),
            workers=workers,
            chunk=CHUNK,
            capacity=workers * CHUNKS_PER_WORKER * CHUNK,
        )

    def _predict_or_report(
        self, engine: Engine, images: list[ImageSource]
    ) -> list[ScoredPrediction]:
        prepared = [self._prepared(image) for image in images]
        answers = _run_each(engine, [each for each in prepared if isinstance(each, np.ndarray)])
        return [
            self._task.prediction(_describe(image), pixels)
            if isinstance(pixels, ImageError)
            else self._answer(image, next(answers))
            for image, pixels in zip(images, prepared, strict=True)
        ]

    def _answer(self, image: ImageSource, outputs: Outputs) -> ScoredPrediction:
        if not all(np.isfinite(each).all() for each in outputs.values()):
            raise BundleError(
                f"the network's output for {_describe(image)} is NaN or infinite in "
                f"{self.choice}; its weights are damaged."
            )
        prediction: ScoredPrediction = self._decode(outputs, None, _describe(image))
        return prediction

    def _prepared(self, image: ImageSource) -> NDArray[np.uint8] | ImageError:
        try:
            return self._prepare(image)
        except ImageError as error:
            return error
        except Exception as error:  # noqa: BLE001 - an object of anyone's may raise anything
            return ImageError(
                _describe(image), f"cannot be used ({type(error).__name__}: {error})."
            )

    def _engine(self, streams: int) -> Engine:
        """For one picture at a time on all cores, or for `streams` at once, one thread each.

        Over many pictures a thread a core, each decoding and running its own picture, beats
        sharing the cores within one picture: nothing waits for anything.
        """
        with self._lock:
            if not self._content:
                raise InputError("this Classifier is closed; open another one.")
            if streams not in self._engines:
                self._engines[streams] = open_engine(
                    self.choice.engine,
                    self._content,
                    precision=self.choice.precision,
                    threads=self._latency_threads if streams == 1 else 1,
                    streams=streams,
                    sizes=Sizes.of(self.manifest),
                    trusted=self._is_trusted,
                )
            return self._engines[streams]

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """The network's outputs for prepared images.

        Args:
            images: (N, height, width, 3) uint8 RGB, as `manifest.preprocessing` makes them.

        Returns:
            Output name to (N, ...) float32; "logits" (N, classes) of a classifier.
        """
        if not len(images):
            shapes = Sizes.of(self.manifest).outputs
            return {name: np.empty((0, *shape), np.float32) for name, shape in shapes.items()}
        return run_padded(self._engine(streams=1), images)


def _run_each(engine: Engine, images: list[NDArray[np.uint8]]) -> Iterator[Outputs]:
    """The outputs for each; several at once where the network was exported so, else one by one."""
    batch = engine.batch_size or 1
    for start in range(0, len(images), batch):
        some = images[start : start + batch]
        outputs = run_padded(engine, np.stack(some))
        for at in range(len(some)):
            yield {name: each[at] for name, each in outputs.items()}


def _describe(image: Any) -> str:
    if isinstance(image, str | PathLike):
        return os.fsdecode(image)
    if isinstance(image, bytes | bytearray):
        return f"{len(image)} bytes"
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or f"PIL image {image.width}x{image.height}")
    if isinstance(image, np.ndarray):
        return f"array {image.shape}"
    try:
        return source_name(image)
    except Exception:  # noqa: BLE001 - an object of anyone's may raise anything
        return f"the {type(image).__name__}"
