"""The half of the task that needs no Keras."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from pplcnet.tasks.task import Drop, Measure, Outputs, Plot, Prediction, Table, Task


@dataclass(frozen=True, slots=True)
class Count:
    """What is said of an image: its number of colours."""

    value: int
    shown: ClassVar[tuple[int, ...]] = ()
    unknown: ClassVar[tuple[int, ...]] = ()

    def renumbered(self, place: Mapping[int, int], count: int) -> Count:
        return self

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        return len(set(said)) > 1

    def to_text(self, classes: Sequence[str]) -> str:
        return f"{self.value} colours"

    facts = to_text

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        return ["colours"]

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        return ["colours"]

    def cells(self, classes: Sequence[str]) -> list[Any]:
        return [self.value]

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> Self:
        return cls(int(cells[0]))


@dataclass(frozen=True, slots=True)
class CountPrediction(Prediction):
    count: float = float("nan")
    columns: ClassVar[tuple[str, ...]] = ("colours",)

    def rows(self, most: int | None = None) -> list[dict[str, Any]]:
        return [{"colours": round(self.count, 2)}]

    def to_text(self, most: int | None = None) -> str:
        return f"{self.count:.2f} colours"


@dataclass(frozen=True)
class JudgedCounts:
    found: np.ndarray
    truth: np.ndarray

    @property
    def _errors(self) -> np.ndarray:
        return np.abs(self.found - self.truth)

    @property
    def value(self) -> float:
        return float(np.mean(self.each))

    @property
    def loss(self) -> float:
        return float(np.mean(self._errors))

    @property
    def each(self) -> list[float]:
        return list(1 / (1 + self._errors))

    def drop(self, reference: Self) -> Drop:
        return Drop(reference.value - self.value, "closeness")

    def agreement(self, other: Self) -> float:
        return float(np.mean(np.abs(self.found - other.found) < 0.1))


@dataclass(frozen=True)
class CountJudge:
    truth: np.ndarray

    def judged(self, outputs: Iterable[Outputs]) -> JudgedCounts:
        return JudgedCounts(np.concatenate([each["count"][:, 0] for each in outputs]), self.truth)

    def of_some(self, chosen: Sequence[int]) -> Self:
        return type(self)(self.truth[list(chosen)])


@dataclass(frozen=True)
class CountEvaluation:
    truth: np.ndarray
    found: np.ndarray
    plot = Plot("counts.png", "counts")

    @property
    def images(self) -> int:
        return len(self.truth)

    @property
    def closeness(self) -> np.ndarray:
        return 1 / (1 + np.abs(self.found - self.truth))

    def figures(self) -> dict[str, Any]:
        error = float(np.abs(self.found - self.truth).mean())
        return {
            "images": self.images, "closeness": float(self.closeness.mean()), "mean_error": error
        }  # fmt: skip

    def headline(self) -> str:
        return f"{self.figures()['mean_error']:.3f} colours off on average"

    def weakness(self) -> str:
        return ""

    def to_dict(self, most_mistakes: int = 50) -> dict[str, Any]:
        return {**self.figures(), "found": self.found.tolist()}

    def tables(self) -> list[Table]:
        rows = zip(self.truth.tolist(), self.found.tolist(), strict=True)
        return [Table("counts.csv", ["colours", "found"], rows)]

    def to_text(self, mistakes: int = 5) -> str:
        return self.headline()

    def draw(self, path: Path, title: str = "") -> None:
        from PIL import Image

        Image.fromarray(np.uint8(40 * self.found)[None]).save(path)


def _evaluate(manifest: Any, dataset: Any, predictions: Iterable[Any]) -> CountEvaluation:
    pairs = [(image.annotation.value, prediction.count) for image, prediction in predictions]
    truth, found = np.array(pairs, np.float64).T
    return CountEvaluation(truth, found)


TASK = Task(
    name="colour_count",
    title="a number of colours each",
    noun="class",
    measure=Measure("closeness", "closeness", is_share=False),
    annotation=Count,
    prediction=CountPrediction,
    faults=lambda dataset: (),
    notes=lambda dataset: (),
    outputs=lambda classes, image_size, network: {"count": (1,)},
    outputs_text="count: float32 (N, 1), how many colours",
    head_inputs=("avg_pool",),
    decoder=lambda manifest: (
        lambda outputs, geometry, source: CountPrediction(source, None, float(outputs["count"][0]))
    ),
    judge=lambda manifest, images: CountJudge(np.array([each.annotation.value for each in images])),
    evaluate=_evaluate,
    calibrate=None,
)
