"""A bundle's network in a worker: one photo at a time, on one thread."""

from __future__ import annotations

import time
from collections.abc import Collection
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pplcnet.bundle.manifest import Manifest
from pplcnet.imaging.preprocessing import Placed
from pplcnet.runtime.checks.network import Sizes
from pplcnet.runtime.engines.engine import Engine, open_engine, run_padded
from pplcnet.runtime.network import check_finite
from pplcnet.runtime.selection import Choice
from pplcnet.runtime.typicality import Typicality, with_typicality
from pplcnet.serving.occlusion import cover, region_of
from pplcnet.system.processor import processor_name
from pplcnet.tasks import answers_of, find
from pplcnet.tasks.task import EMBEDDING

__all__ = ["Answer", "LoadedModel"]

NAME = "the photo"
TYPICALITY = "typicality"
"""Its name among the arrays of an answer."""
TRIAL = (48, 64, 3)


class Answer(NamedTuple):
    """A network's answer for one photo, and the nanoseconds that it took."""

    arrays: dict[str, NDArray[Any]]
    rows: list[dict[str, Any]] | None
    facts: dict[str, Any]
    """As in `Prediction.facts`."""
    decode_ns: int
    network_ns: int
    output_ns: int


class LoadedModel:
    """One network, ready to run."""

    def __init__(
        self,
        manifest: Manifest,
        content: bytes,
        choice: Choice,
        typicality: Typicality | None,
        *,
        is_trusted: bool,
    ) -> None:
        """Open the engine and try it on an image.

        Raises:
            BundleError, MissingDependencyError: it cannot be run here.
        """
        self._manifest, self._choice = manifest, choice
        self._task = task = find(manifest.task)
        self._preprocessing = manifest.preprocessing_on(processor_name())
        self._open = partial(
            open_engine,
            choice.engine,
            content,
            precision=choice.precision,
            threads=1,
            streams=1,
            sizes=Sizes.of(manifest),
            trusted=is_trusted,
        )
        answers = answers_of(manifest)
        self._others = [name for name in manifest.outputs if name not in answers]
        computed = tuple(answers)
        self._decode = task.decoder(manifest)
        if typicality is not None:
            self._decode = with_typicality(self._decode, typicality, task.energy)
            computed = (*computed, EMBEDDING)
        self._engine = self._open(outputs=computed)
        self._rare = set(manifest.outputs).difference(computed)
        self._whole: Engine | None = None
        """Computes these outputs as well; opened when one of them is first requested."""
        trial = self.answer_photo(np.full(TRIAL, 127, np.uint8), None, None)
        self._outputs = {
            name: (str(each.dtype), list(each.shape))
            for name, each in trial.arrays.items()
            if name not in self._others
        }

    def describe(self) -> dict[str, Any]:
        """What the server tells its clients; plain values."""
        manifest, choice = self._manifest, self._choice
        height, width = self._preprocessing.image_size
        return {
            "task": manifest.task,
            "classes": list(manifest.classes),
            "image_size": [height, width],
            "network": str(manifest.network.get("name", "network")),
            "engine": choice.engine,
            "precision": choice.precision,
            "digest": sha256(manifest.to_json().encode()).hexdigest(),
            "outputs": self._outputs,
            "other_outputs": {
                name: ("float32", list(manifest.outputs[name])) for name in self._others
            },
            "answer_facts": dict(self._task.facts(manifest)),
        }

    def answer_photo(
        self, photo: bytes | NDArray[np.uint8], names: Collection[str] | None, most: int | None
    ) -> Answer:
        """The answer for a photo's file.

        Args:
            names: the outputs to return; None for those of the task.
            most: largest number of rows; 0 for the task's own number, None for no rows.

        Raises:
            ImageError: the photo cannot be used.
            BundleError: the network's outputs are NaN or infinite.
        """
        started = time.perf_counter_ns()
        placed = self._preprocessing.place(photo)
        return self._run(placed, time.perf_counter_ns() - started, names, most)

    def answer_pixels(
        self, content: bytes, names: Collection[str] | None, most: int | None
    ) -> Answer:
        """The answer for (height, width, 3) uint8 RGB that is ready for the network."""
        pixels = np.frombuffer(content, np.uint8).reshape(*self._preprocessing.image_size, 3)
        height, width = self._preprocessing.image_size
        return self._run(_as_placed(pixels, (width, height)), 0, names, most)

    def prepare(self, photo: bytes) -> Answer:
        """Prepare a photo for an occlusion map.

        Returns:
            Arrays "pixels" (height, width, 3) uint8, "region" (4,) as in `region_of` and "evidence"
            (classes,) float64 if the task has it.

        Raises:
            ImageError, BundleError: as `answer_photo`.
        """
        started = time.perf_counter_ns()
        placed = self._preprocessing.place(photo)
        decoded = time.perf_counter_ns()
        region = region_of(placed.geometry, self._preprocessing.image_size)
        arrays = {"pixels": placed.pixels, "region": np.array(region)}
        arrays |= self._evidence(placed)
        taken = time.perf_counter_ns() - decoded
        return Answer(arrays, None, {}, decoded - started, taken, 0)

    def occlude(self, content: bytes, row: int, column: int) -> Answer:
        """The evidence that remains when one cell of the grid is covered."""
        pixels = np.frombuffer(content, np.uint8).reshape(*self._preprocessing.image_size, 3)
        started = time.perf_counter_ns()
        height, width = self._preprocessing.image_size
        arrays = self._evidence(_as_placed(cover(pixels, row, column), (width, height)))
        return Answer(arrays, None, {}, 0, time.perf_counter_ns() - started, 0)

    def _evidence(self, placed: Placed) -> dict[str, NDArray[Any]]:
        evidence = self._decode(
            self._outputs_of(placed, self._engine), placed.geometry, NAME
        ).evidence()
        return {} if evidence is None else {"evidence": evidence}

    def _run(
        self, placed: Placed, decode_ns: int, names: Collection[str] | None, most: int | None
    ) -> Answer:
        engine = self._engine
        if names and not self._rare.isdisjoint(names):
            engine = self._whole = self._whole or self._open(outputs=None)
        started = time.perf_counter_ns()
        one = self._outputs_of(placed, engine)
        ran = time.perf_counter_ns()
        prediction = self._decode(one, placed.geometry, NAME)
        arrays: dict[str, NDArray[Any]] = {}
        if names is None or names:
            arrays = {**prediction.arrays(), **one}
            if prediction.typicality is not None:
                arrays[TYPICALITY] = np.asarray(prediction.typicality, np.float32)
            if names is not None:
                arrays = {name: arrays[name] for name in names}
        rows = None if most is None else prediction.rows(most or None)
        facts = {} if rows is None else prediction.facts()
        taken = time.perf_counter_ns() - ran
        return Answer(arrays, rows, facts, decode_ns, ran - started, taken)

    def _outputs_of(self, placed: Placed, engine: Engine) -> dict[str, NDArray[np.float32]]:
        outputs = run_padded(engine, placed.pixels[np.newaxis])
        one = {name: each[0] for name, each in outputs.items()}
        check_finite(one, NAME, self._choice)
        return one


def _as_placed(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Placed:
    from pplcnet.imaging.geometry import Geometry

    return Placed(pixels, Geometry(size))
