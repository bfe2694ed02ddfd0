"""Photos that a split.csv records are found again by their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.dataset import Dataset
from pplcnet.data.splits import draw_splits, write_splits
from pplcnet.reports.recorded import find_recorded
from pplcnet.tasks.audit import audit
from tests.conftest import draw_image


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of twelve photos with two labels each, in a folder of their own."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    rows = []
    for number in range(12):
        draw_image(number % 3, number).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{number % 2},{(number // 2) % 2}")
    (folder / "table.csv").write_text("\n".join(["path,one,two", *rows]) + "\n")
    return folder / "table.csv"


def _write(photos: Path, file: Path) -> Dataset:
    checked = audit(Dataset.open(photos))
    splits = draw_splits(checked.dataset, validation=0.25, test=0.25, seed=0)
    write_splits(splits, file, checked.contents)
    return Dataset.open(file)


def test_a_split_csv_with_checksums_reads_back_as_the_data_set(
    photos: Path, table: Path, tmp_path: Path
) -> None:
    for given in (photos, table):
        written = _write(given, tmp_path / "split.csv")
        header = (tmp_path / "split.csv").read_text().splitlines()[0]
        assert header.endswith(",split,sha256")
        assert written.classes == Dataset.open(given).classes
        assert written.class_counts() == Dataset.open(given).class_counts()


def test_moved_photos_of_several_labels_have_their_splits(table: Path, tmp_path: Path) -> None:
    written = _write(table, tmp_path / "split.csv")
    moved = table.parent.rename(tmp_path / "moved")
    given = Dataset.open(moved / table.name)
    found = find_recorded(given, tmp_path / "split.csv", None)
    assert found.recorded.task == "multilabel"
    assert found.gone == 0
    assert {image.path.parent for image in found.recorded.images} == {moved}
    splits = {image.path.name: image.split for image in written.images}
    assert {image.path.name: image.split for image in found.images} == splits


def test_recorded_photos_that_are_nowhere_are_counted(photos: Path, tmp_path: Path) -> None:
    _write(photos, tmp_path / "split.csv")
    (photos / "class_0" / "000.png").unlink()
    draw_image(1, 500).save(photos / "class_1" / "000.png")  # another photo, the same name
    found = find_recorded(Dataset.open(photos), tmp_path / "split.csv", None)
    assert found.gone == 2
    assert len(found.known) == 34


def test_a_photo_recorded_in_two_splits_counts_as_trained_on(photos: Path, tmp_path: Path) -> None:
    _write(photos, tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    tested = next(line for line in lines if ",test," in line)
    lines.insert(1, tested.replace(",test,", ",train,"))
    (tmp_path / "split.csv").write_text("\n".join(lines) + "\n")
    found = find_recorded(Dataset.open(photos), tmp_path / "split.csv", None)
    path = Path(tested.split(",")[0])
    assert [image.split for image in found.images if image.path.resolve() == path] == ["train"]


def test_a_changed_training_photo_is_not_taken_from_its_old_place(
    photos: Path, tmp_path: Path
) -> None:
    written = _write(photos, tmp_path / "split.csv")
    trained = written.subset("train").images[0].path
    trained.rename(trained.with_name("kept.png"))
    draw_image(0, 700).save(trained)
    found = find_recorded(Dataset.open(photos), tmp_path / "split.csv", None)
    located = {image.path.resolve() for image in found.recorded.subset("train").images}
    assert trained not in located
    assert trained.with_name("kept.png").resolve() in located
