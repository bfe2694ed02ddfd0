"""The layout of a data set is recognised, and a layout can be added."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import pytest

from pplcnet.data import layouts
from pplcnet.data.audit import audit_dataset
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.splits import draw_splits, read_splits, write_splits
from pplcnet.errors import DatasetError
from tests.conftest import draw_image, write_photos


def test_places_that_are_no_data_set(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    loose = tmp_path / "loose"
    loose.mkdir()
    draw_image(0, 0).save(loose / "a.png")
    single = write_photos(tmp_path / "single", classes=1)
    (tmp_path / "data.bin").write_bytes(b"1")
    for place, complaint in (
        (tmp_path / "absent", "no such folder"),
        (empty, "no images"),
        (loose, "1 image but no class folders"),
        (single, "one class only"),
        (tmp_path / "data.bin", "not a data set"),
    ):
        with pytest.raises(DatasetError, match=complaint):
            Dataset.open(place)


@dataclass(frozen=True)
class _Count:
    """An annotation that is about no class: how many things an image shows."""

    value: int
    shown = unknown = ()

    def renumbered(self, place: Mapping[int, int], count: int) -> Self:
        return self

    @classmethod
    def are_contradictory(cls, said: Iterable[Self]) -> bool:
        return len({*said}) > 1

    def to_text(self, classes: Sequence[str]) -> str:
        return str(self.value)

    facts = to_text

    @classmethod
    def columns(cls, classes: Sequence[str]) -> list[str]:
        return ["count"]

    @classmethod
    def classes_in(cls, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        return []

    def cells(self, classes: Sequence[str]) -> list[Any]:
        return [self.value]

    @classmethod
    def from_cells(cls, cells: Sequence[str], classes: Sequence[str]) -> Self:
        return cls(int(cells[0]))


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A data set of a layout that the tests add."""

    def read(path: Path) -> Dataset:
        images = (
            LabelledImage(path.parent / name, _Count(int(value)))
            for name, value in map(str.split, path.read_text().splitlines())
        )
        return Dataset(path.parent, (), tuple(images), task="counting")

    module = ModuleType("counts_of_the_tests")
    module.__dict__.update(recognises=lambda path: path.name == "counts.txt", read=read)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(layouts, "LAYOUTS", (module.__name__, *layouts.LAYOUTS))
    (tmp_path / "counts.txt").write_text("".join(f"{at}.png {at % 4}\n" for at in range(20)))
    return Dataset.open(tmp_path / "counts.txt")


def test_a_layout_can_be_added(counted: Dataset, photos: Path) -> None:
    assert counted.task == "counting"
    assert [image.annotation.value for image in counted.images[:5]] == [0, 1, 2, 3, 0]
    assert Dataset.open(photos).task == "classification"


def test_images_that_show_no_class_are_split_and_read_back(
    counted: Dataset, tmp_path: Path
) -> None:
    splits = draw_splits(counted, validation=0.2, test=0.2, seed=0)
    assert [len(part) for part in splits[:3]] == [12, 4, 4]
    write_splits(splits, tmp_path / "split.csv")
    recorded = read_splits(tmp_path / "split.csv", _Count)
    assert {(image.path.name, image.annotation) for image in recorded.images} == {
        (image.path.name, image.annotation) for image in counted.images
    }


def test_images_that_show_no_class_can_be_left_out(counted: Dataset) -> None:
    for at, image in enumerate(counted.images):
        draw_image(at % 3, at).save(image.path)
    counted.images[3].path.write_bytes(b"broken")
    rules = SimpleNamespace(noun="class", faults=lambda dataset: (), notes=lambda dataset: ())
    audited = audit_dataset(counted, rules)
    assert [fault.kind for fault in audited.faults] == ["unreadable"]
    assert len(audited.without_faults()) == 19
