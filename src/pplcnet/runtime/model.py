"""Model: opens a bundle and predicts; needs no training framework in the process.

This file is longer than others because everything an opened bundle can do is in
this one class.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from os import PathLike
from threading import Lock
from typing import Any, Generic, Self

import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ImageError, InputError
from pplcnet.imaging.decoding import ImageSource
from pplcnet.imaging.geometry import Geometry
from pplcnet.imaging.preprocessing import Placed
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.embedding import Embedding, check_embedding, decode_embedding
from pplcnet.runtime.engines import forking
from pplcnet.runtime.engines.engine import Engine, open_engine, run_each, run_padded
from pplcnet.runtime.network import check_finite, read_network, read_scaled
from pplcnet.runtime.question import Answer, Question, raise_error
from pplcnet.runtime.selection import DEFAULT
from pplcnet.runtime.sources import describe, images_of
from pplcnet.runtime.streaming import answer_in_order
from pplcnet.runtime.typicality import with_typicality
from pplcnet.system.allocator import keep_freed_memory
from pplcnet.system.notebook import facts_table
from pplcnet.system.processor import available_cores, processor_name
from pplcnet.system.wording import counted
from pplcnet.tasks import answers_of, find, outputs_of
from pplcnet.tasks.task import EMBEDDING, Outputs, P, Task

__all__ = ["Model", "load"]

# A worker decodes some images and then runs them: alternating between decoder and network costs a
# tenth to a fifth of the time, because each evicts the other from the processor's caches.
CHUNK = 8
# Chunks read but not yet answered, per worker: no core waits, and memory stays bounded.
CHUNKS_PER_WORKER = 2
# What another process creates anew.
NOT_PICKLED = ("_lock", "_engines", "_pool", "_task", "_prediction")


class Model(Generic[P]):
    """Predicts what images show, for a bundle of any task.

    `manifest` describes the bundle, `choice` says how it runs, and `advice` says what would make it
    faster or better ("" for nothing).

    Takes paths, the bytes of image files, binary file objects, PIL images and uint8 arrays ((H, W),
    (H, W, 3) RGB or (H, W, 4) RGBA). It is thread-safe and fork-safe, and can be pickled and
    copied. `close`, or the end of a `with` block, frees the network's memory.
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
        """Open a bundle folder or .zip, a run's folder, or a single exported .onnx file.

        It runs as tuning found best on this processor, or untuned, in float32 in ONNX Runtime.

        Args:
            bundle: what `pplcnet train` or `pplcnet export` made. A single .onnx file has no
                temperature and no thresholds: probabilities are uncalibrated, and labels count as
                shown from 0.5.
            threads: number of cores to use, for one image or for many; None for all.
            engine: "onnxruntime", "openvino" or "litert", instead of what tuning chose.
            precision: "float32", "bfloat16", "int8" or "int8-bfloat16", instead of what tuning
                chose.
            trust_network: also run a network that pplcnet did not export. A malicious one can crash
                the engine, read other files or never return.

        Raises:
            BundleError: no bundle, a damaged one, one without an exported network, or one of a
                task that this version does not know.
            InputError: `threads` is below 1, or the bundle does not have what was asked for.
            MissingDependencyError: the engine that was asked for is not installed.
        """
        if threads is not None and not (isinstance(threads, int | np.integer) and threads >= 1):
            raise InputError(f"threads is {threads!r}; it must be a whole number of at least 1.")

        self._name = str(bundle)
        network = read_network(bundle, engine, precision)
        self.manifest, self._content = network.manifest, network.content
        self._typicality = network.typicality
        self.choice, tuned_threads, self.advice = network.selection
        self._preprocessing = self.manifest.preprocessing_on(processor_name())
        self._threads = threads
        self._is_trusted = trust_network
        self._latency_threads = threads or tuned_threads or available_cores()
        self._start()
        self._check_task(bundle)

    def _check_task(self, bundle: str | PathLike[str]) -> None:
        """Raise InputError if the bundle's task is not for this class; a Model takes any task."""

    def _start(self) -> None:
        """Set up without open engines: after opening, unpickling, and in a forked child."""
        keep_freed_memory()
        self._task: Task[P] = find(self.manifest.task)
        self._answers = answers_of(self.manifest)
        decode = self._task.decoder(self.manifest)
        outputs = self._answers
        if self._typicality is not None:
            decode = with_typicality(decode, self._typicality, self._task.energy)
            outputs = (*outputs, EMBEDDING)
        self._prediction: Question[P] = Question(outputs, decode, self._task.prediction)
        self._lock = Lock()
        self._engines: dict[tuple[int, tuple[str, ...]], Engine] = {}
        self._pool: ThreadPoolExecutor | None = None
        forking.watch(self)

    def after_fork(self) -> None:
        """Reopen the engines: the parent's threads do not exist in this process."""
        forking.abandon((self._engines, self._pool))
        self._start()

    def at_scale(self, scale: float) -> Self:
        """The same model for an input of another size, if the bundle holds that network.

        Args:
            scale: factor for the input's sides; 1 returns this model.

        Raises:
            InputError: the bundle has no network for this scale.
        """
        if scale == 1:
            return self
        manifest, content = read_scaled(self._name, self.manifest, scale)
        scaled = copy.copy(self)
        scaled.choice = self.choice if self.choice.variant == DEFAULT.variant else DEFAULT
        scaled.manifest, scaled._content, scaled._typicality = manifest, content, None
        scaled._preprocessing = manifest.preprocessing_on(processor_name())
        scaled._start()
        return scaled

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open engines; another process opens its own."""
        return {name: value for name, value in vars(self).items() if name not in NOT_PICKLED}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    def close(self) -> None:
        """Free the network's memory once submitted work is done; the model cannot be used after."""
        with self._lock:
            self._content = b""
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        with self._lock:
            self._engines.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        height, width = self.manifest.preprocessing.image_size
        network = self.manifest.network.get("name", "network")
        return (
            f"<{type(self).__name__} {network} {height}x{width}, "
            f"{counted(len(self.classes), self._task.noun)}, {self.choice}"
            f"{'' if self._content else ', closed'}>"
        )

    def _repr_html_(self) -> str:
        return facts_table(repr(self)[1:-1], self.manifest.facts())

    @property
    def knows_typical(self) -> bool:
        """Whether predictions say how typical an image is (`Prediction.typicality`)."""
        return self._typicality is not None

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the network's outputs."""
        return self.manifest.classes

    def predict(self, image: ImageSource) -> P:
        """Predict one image, on all cores.

        Raises:
            ImageError: the image cannot be used.
            BundleError: the network cannot be run, or an output is NaN or infinite.
        """
        engine = self._engine(1, self._prediction.outputs)
        return self._answer(self._prediction, engine, image)

    def submit(self, image: ImageSource) -> Future[P]:
        """Predict one image on one core, concurrently with others; returns at once.

        The threads, one per core, are kept between calls. Any number of images may be waiting: the
        caller has to limit them.

        Returns:
            A future of the prediction, or of the error that `predict` would raise.
        """
        workers = self._threads or available_cores()
        engine = self._engine(workers, self._prediction.outputs)
        with self._lock:
            self._check_open()
            if self._pool is None:
                self._pool = ThreadPoolExecutor(workers, thread_name_prefix="pplcnet-submit")
            return self._pool.submit(self._answer, self._prediction, engine, image)

    def predict_many(self, images: Iterable[ImageSource] | str | PathLike[str]) -> Iterator[P]:
        """Predict any number of images, lazily and in order, on all cores.

        Memory does not grow with the number of images. An image that cannot be used yields a
        prediction whose `error` says why, and the others are still predicted. Each prediction is
        yielded as soon as it is done, without waiting for the next image, as from a camera or a
        queue.

        Args:
            images: images as `predict` takes them, or one folder, which is searched recursively. A
                generator is read in its own thread, a few images ahead; its exceptions are raised
                here, after the predictions before them.

        Raises:
            InputError: a single image, or a folder that does not exist; after all predictions,
                folders in it that cannot be read.
        """
        return self._stream(self._prediction, images_of(images))

    def embed(self, image: ImageSource, *, normalize: bool = True) -> NDArray[np.float32]:
        """The embedding of an image: the features just before the classifier, on all cores.

        Images that look alike to the network have embeddings that point in nearly the same
        direction, even if they show classes that it was not trained on.

        Args:
            normalize: divide by the Euclidean norm (L2), so that the dot product of two embeddings
                is their cosine similarity; False gives the network's raw output.

        Returns:
            (D,) float32; D is 1280 for PP-LCNet.

        Raises:
            BundleError: as `predict`; or the network was exported without its embedding.
            ImageError: the image cannot be used.
        """
        question = self._embedding(normalize)
        return self._answer(question, self._engine(1, question.outputs), image).vector

    def embed_many(
        self, images: Iterable[ImageSource] | str | PathLike[str], *, normalize: bool = True
    ) -> Iterator[Embedding]:
        """The embeddings of any number of images, as `predict_many` predicts them.

        An image that cannot be used yields an `Embedding` whose `error` says why.

        Args:
            images: as for `predict_many`.
            normalize: as for `embed`.

        Raises:
            BundleError: the network was exported without its embedding.
            InputError: as `predict_many`.
        """
        return self._stream(self._embedding(normalize), images_of(images))

    def _embedding(self, normalize: bool) -> Question[Embedding]:
        check_embedding(self.manifest, self._name)
        return Question((EMBEDDING,), decode_embedding(normalize), Embedding)

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """The network's outputs for prepared images.

        Args:
            images: (N, height, width, 3) uint8 RGB, as `manifest.preprocessing` makes them.

        Returns:
            Output name to (N, ...) float32; "logits" (N, classes) of a classifier.
        """
        if not len(images):
            shapes = outputs_of(self.manifest)
            return {name: np.empty((0, *shape), np.float32) for name, shape in shapes.items()}
        return run_padded(self._engine(1, self._answers), images)

    def run_many(self, images: Iterable[ImageSource]) -> Iterator[tuple[Outputs, Geometry]]:
        """The network's outputs for each of any number of images, as `predict_many` predicts them.

        Yields:
            Output name to an array without the axis of the images, and where the image lies in the
            network's input.

        Raises:
            ImageError: an image cannot be used.
        """
        question = Question(self._answers, lambda found, place, _: (found, place), raise_error)
        return self._stream(question, images_of(images))

    def _stream(
        self, question: Question[Answer], images: Iterator[ImageSource]
    ) -> Iterator[Answer]:
        workers = self._threads or available_cores()
        engine = self._engine(workers, question.outputs)
        yield from answer_in_order(
            images,
            partial(self._answer_each, question, engine),
            workers=workers,
            chunk=CHUNK,
            capacity=workers * CHUNKS_PER_WORKER * CHUNK,
        )

    def _answer(self, question: Question[Answer], engine: Engine, image: ImageSource) -> Answer:
        placed = self._placed(image)
        if isinstance(placed, ImageError):
            raise placed
        outputs = run_padded(engine, placed.pixels[np.newaxis])
        one = {name: each[0] for name, each in outputs.items()}
        check_finite(one, describe(image), self.choice)
        return question.decode(one, placed.geometry, describe(image))

    def _answer_each(
        self, question: Question[Answer], engine: Engine, images: list[ImageSource]
    ) -> list[Answer]:
        placed = [self._placed(image) for image in images]
        usable = [each.pixels for each in placed if isinstance(each, Placed)]
        outputs = run_each(engine, usable)
        answers: list[Answer] = []
        for image, each in zip(images, placed, strict=True):
            if isinstance(each, ImageError):
                answers.append(question.refuse(describe(image), each))
                continue
            one = next(outputs)
            check_finite(one, describe(image), self.choice)
            answers.append(question.decode(one, each.geometry, describe(image)))
        return answers

    def _placed(self, image: ImageSource) -> Placed | ImageError:
        try:
            return self._preprocessing.place(image)
        except ImageError as error:
            return error
        except Exception as error:  # noqa: BLE001 - an object of anyone's may raise anything
            return ImageError(describe(image), f"cannot be used ({type(error).__name__}: {error}).")

    def _engine(self, streams: int, outputs: tuple[str, ...]) -> Engine:
        """The engine for one image at a time on all cores, or for `streams` images, a thread each.

        For many images, one thread per core, each decoding and running its own image, is faster
        than sharing the cores within one image: no thread waits for another.
        """
        with self._lock:
            self._check_open()
            if (streams, outputs) not in self._engines:
                self._engines[streams, outputs] = open_engine(
                    self.choice.engine,
                    self._content,
                    precision=self.choice.precision,
                    threads=self._latency_threads if streams == 1 else 1,
                    streams=streams,
                    sizes=Sizes.of(self.manifest),
                    outputs=outputs,
                    trusted=self._is_trusted,
                )
            return self._engines[streams, outputs]

    def _check_open(self) -> None:
        if not self._content:
            raise InputError(f"this {type(self).__name__} is closed; open another one.")


def load(
    bundle: str | PathLike[str],
    *,
    threads: int | None = None,
    engine: str | None = None,
    precision: str | None = None,
    trust_network: bool = False,
) -> Model[Any]:
    """Open a bundle of any task; the arguments and errors are those of `Model`."""
    return Model(
        bundle,
        threads=threads,
        engine=engine,
        precision=precision,
        trust_network=trust_network,
    )
