"""Photos with masks on the command line: how they were read is said, and faults end a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pplcnet.cli.main import main
from tests.data.layouts.masks import CLASSES, VALUES, write_classes, write_pair

WHITE = np.where(VALUES == 1, 255, 0).astype(np.uint8)
HIGH = VALUES.copy()
HIGH[5, 5] = 9


def _folder(folder: Path, *masks: Any, ending: str = ".png") -> Path:
    """Four sound pairs, and others."""
    for number in range(4):
        write_pair(folder, str(number))
    for number, mask in enumerate(masks, 4):
        write_pair(folder, str(number), mask, ending)
    write_classes(folder, CLASSES)
    return folder


@pytest.mark.parametrize(
    ("mask", "ending", "sentence"),
    [
        (WHITE, ".png", "the mask of images/4.jpg contains only 0 and 255, and 255 is ignored"),
        (VALUES, ".jpg", "images/4.jpg: its mask 4.jpg is saved as JPEG, which changes the values"),
        (VALUES[::2, ::2], ".png", "images/4.jpg: the photo has 64x48 pixels and its mask 4.png"),
        (HIGH, ".png", "the value 9 (1 pixel) stands for no class in the mask of images/4.jpg"),
    ],
    ids=["0 and 255", "JPEG", "two sizes", "too high"],
)
def test_a_mask_at_fault_ends_training_with_one_sentence_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mask: Any, ending: str, sentence: str
) -> None:
    folder = _folder(tmp_path / "photos", mask, ending=ending)
    options = ["--model", "mobileseg_pplcnet_x0_5", "--recipe", "scratch", "--weights", "none"]
    assert main(["train", str(folder), *options, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()
    start = next(at for at, line in enumerate(said) if line.startswith("error: "))
    assert said[start].endswith("leave those files out with --skip-broken:")
    assert said[start + 1].startswith(f"  {sentence}")
    assert len(said) == start + 2
    assert not (tmp_path / "run").exists()


def test_check_says_how_masks_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _folder(tmp_path / "photos")
    main(["check", str(folder)])
    said = "".join(capsys.readouterr())
    assert "masks are read by their grey levels: 0 land, 1 road, 2 sea; 255 is ignored." in said
    assert "share of the labelled pixels: 31.2% land, 31.2% road, 37.5% sea." in said
    write_pair(folder, "bad", HIGH)
    assert main(["check", str(folder)]) == 1
    assert "the value 9 (1 pixel) stands for no class" in "".join(capsys.readouterr())
