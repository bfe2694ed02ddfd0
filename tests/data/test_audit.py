"""The audit finds every fault, says all of them at once, and can leave them out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from pplcnet.data.dataset import Dataset
from pplcnet.errors import DatasetError
from pplcnet.imaging import limits as image_limits
from pplcnet.runs.stages import audit_images
from pplcnet.system.progress import Watcher
from pplcnet.tasks.audit import audit
from pplcnet.tasks.multilabel.measures import marks_of
from tests.conftest import draw_image, draw_scene, write_photos


def test_sound_photos_have_no_faults(photos: Path) -> None:
    checked = audit(Dataset.open(photos))
    assert (checked.faults, checked.notes) == ((), ())
    checked.raise_faults()


def test_all_faults_come_in_one_message(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = photos / "class_0"
    (first / "zero.png").write_bytes(b"")
    (first / "text.jpg").write_text("not an image")
    whole = (first / "000.png").read_bytes()
    (first / "cut.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(first / "001.png", photos / "class_1" / "same.png")
    (photos / "nothing").mkdir()
    (photos / "single").mkdir()
    draw_image(0, 77).save(photos / "single" / "only.png")
    monkeypatch.setattr(image_limits, "MAX_PIXELS", 5000)
    Image.new("RGB", (100, 100)).save(first / "huge.png")

    with pytest.raises(DatasetError) as caught:
        audit(Dataset.open(photos)).raise_faults()
    message = str(caught.value)
    for part in (
        "7 faults in",
        "unreadable: class_0/zero.png: the file is empty",
        "unreadable: class_0/text.jpg: not an image",
        "unreadable: class_0/cut.png: truncated or damaged",
        "unreadable: class_0/huge.png: has 100x100 pixels",
        "same photo with two labels: class_0/001.png (class_0), class_1/same.png (class_1)",
        "empty class: 'nothing'",
        "class with one image: 'single' has only single/only.png",
        "--skip-broken",
    ):
        assert part in message


def test_without_faults_leaves_out_what_they_concern_and_no_more(photos: Path) -> None:
    (photos / "class_0" / "zero.png").write_bytes(b"")
    shutil.copy(photos / "class_0" / "001.png", photos / "class_1" / "same.png")
    (photos / "single").mkdir()
    draw_image(0, 77).save(photos / "single" / "only.png")
    clean = audit(Dataset.open(photos)).without_faults()
    assert clean.classes == ("class_0", "class_1", "class_2")
    assert clean.class_counts() == (11, 12, 12)
    assert audit(clean).faults == ()


def test_the_same_photo_in_two_splits(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("test", 50)):
        for label in range(2):
            folder = tmp_path / split / f"class_{label}"
            folder.mkdir(parents=True)
            for number in range(3):
                draw_image(label, start + number).save(folder / f"{number}.png")
    # The same pixels in another file format are the same image.
    Image.open(tmp_path / "test/class_0/0.png").save(tmp_path / "train/class_0/copy.bmp")
    checked = audit(Dataset.open(tmp_path))
    (fault,) = checked.faults
    assert fault.kind == "two splits"
    assert "test/class_0/0.png" in fault.text
    assert "train/class_0/copy.bmp" in fault.text
    assert [image.split for image in fault.left_out] == ["train"]


def test_copies_within_a_class_and_imbalance_are_notes(photos: Path) -> None:
    shutil.copy(photos / "class_0" / "001.png", photos / "class_0" / "copy.png")
    for number in range(200, 320):
        draw_image(1, number, (8, 8)).save(photos / "class_1" / f"{number}.png")
    checked = audit(Dataset.open(photos))
    assert checked.faults == ()
    assert any(note.startswith("1 image is an exact copy") for note in checked.notes)
    assert any(note.startswith("imbalance: 'class_1' has 132 images") for note in checked.notes)


def test_a_class_without_training_images_is_a_fault(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", classes=2, each=3)
    for number in (80, 81):
        folder = tmp_path / "test" / "class_9"
        folder.mkdir(parents=True, exist_ok=True)
        draw_image(2, number).save(folder / f"{number}.png")
    (fault,) = audit(Dataset.open(tmp_path)).faults
    assert "class 'class_9' has no images in train" in fault.text


def test_classes_that_are_left_out_whole_are_named(tmp_path: Path) -> None:
    write_photos(tmp_path, classes=4, each=3)
    for name in ("class_1", "class_3"):
        for path in (tmp_path / name).iterdir():
            path.write_bytes(b"no image")
    said: list[str] = []
    watcher = Watcher()
    watcher.say = said.append
    found = audit_images(Dataset.open(tmp_path), skip_broken=True, watcher=watcher)
    assert found.dataset.classes == ("class_0", "class_2")
    assert "classes left out: 'class_1', 'class_3'" in said


def test_too_little_left_is_an_error_and_leaving_out_is_not_offered(tmp_path: Path) -> None:
    write_photos(tmp_path, classes=2, each=1)
    checked = audit(Dataset.open(tmp_path))
    with pytest.raises(DatasetError, match="fewer than two classes would be left"):
        checked.without_faults()
    with pytest.raises(DatasetError, match="2 faults in 2 images; fix them:"):
        checked.raise_faults()


def test_labels_that_are_too_rare_are_left_out_as_labels(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    rows = [f"class_0/{at:03d}.png,{'ab'[at % 2]}{';rare' * (at == 0)}" for at in range(8)]
    Path("labels.csv").write_text("\n".join(["path,labels", *rows]) + "\n")
    said: list[str] = []
    watcher = Watcher()
    watcher.say = said.append
    dataset = Dataset.open("labels.csv")
    with pytest.raises(DatasetError, match=r"^labels\.csv: .*leave those labels out with --skip"):
        audit(dataset).raise_faults()
    found = audit_images(dataset, skip_broken=True, watcher=watcher)
    assert found.dataset.classes == ("a", "b")
    assert said == ["label left out: 'rare'"]


def test_the_digest_follows_names_labels_and_content(photos: Path, tmp_path: Path) -> None:
    digest = audit(Dataset.open(photos)).digest
    moved = tmp_path / "moved"
    shutil.copytree(photos, moved)
    assert audit(Dataset.open(moved)).digest == digest
    (moved / "class_0" / "000.png").rename(moved / "class_1" / "new.png")
    assert audit(Dataset.open(moved)).digest != digest


def test_progress_sees_every_image(photos: Path) -> None:
    seen = []

    def watch(opened, total):
        for each in opened:
            seen.append(total)
            yield each

    audit(Dataset.open(photos), progress=watch)
    assert seen == [36] * 36


def test_a_class_that_a_split_lacks_is_a_note(tmp_path: Path) -> None:
    for split, classes in (("train", 3), ("validation", 3), ("test", 2)):
        write_photos(tmp_path / "photos" / split, classes=classes, each=2)
    for number, path in enumerate(sorted((tmp_path / "photos").rglob("*.png"))):
        draw_scene(number).save(path)  # no copies
    checked = audit(Dataset.open(tmp_path / "photos"))
    assert checked.faults == ()
    assert checked.notes == (
        "test has no photos of 'class_2': the figures say nothing about them.",
    )


def test_photos_that_change_after_the_audit_are_named(photos: Path) -> None:
    checked = audit(Dataset.open(photos))
    checked.raise_changed()
    first, second, third = (photos / "class_0" / f"00{number}.png" for number in range(3))
    before = first.stat()
    content = bytearray(first.read_bytes())
    content[-1] ^= 1
    first.write_bytes(content)
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size and time
    second.unlink()
    third.touch()  # another time, the same content
    with pytest.raises(DatasetError, match=r"2 photos changed.*class_0/000.png, class_0/001.png"):
        checked.raise_changed()


def _table(folder: Path, text: str, photos: int = 8) -> Path:
    for number in range(photos):
        draw_image(number % 3, number).save(folder / f"{number}.png")
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_the_audit_names_labels_that_cannot_be_learned(tmp_path: Path) -> None:
    rows = "0.png,1,1,0,0\n1.png,1,0,0,1\n2.png,1,1,,0\n3.png,1,0,0,0\n"
    found = audit(Dataset.open(_table(tmp_path, f"path,a,b,c,d\n{rows}")))
    assert [fault.text.split(";")[0] for fault in found.faults] == [
        "label 'c' is on no photo", "label 'd' is on one photo",
    ]  # fmt: skip
    assert any("6.2% of the labels are unknown" in note for note in found.notes)
    assert any("no photo is known to lack a" in note for note in found.notes)
    mended = found.without_faults()
    assert mended.classes == ("a", "b")
    assert marks_of(mended.images, len(mended.classes)).tolist() == [[1, 1], [1, 0], [1, 1], [1, 0]]


@pytest.mark.parametrize(("other", "is_fault"), [("0,1", True), (",1", False)])
def test_copies_may_leave_a_label_unknown_but_not_contradict(
    tmp_path: Path, other: str, is_fault: bool
) -> None:
    path = _table(tmp_path, f"path,a,b\n0.png,1,1\ncopy.png,{other}\n1.png,1,0\n2.png,0,1\n")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    found = audit(Dataset.open(path))
    assert any(fault.kind == "two labels" for fault in found.faults) == is_fault


def test_the_digest_changes_with_any_label(tmp_path: Path) -> None:
    texts = ("path,a,b\n0.png,1,1\n1.png,0,1\n", "path,a,b\n0.png,1,1\n1.png,,1\n")
    one, other = (audit(Dataset.open(_table(tmp_path, text))).digest for text in texts)
    assert one != other
