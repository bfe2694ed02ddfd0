"""What a run says when it is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import (
    ConversionError,
    StorageError,
    TrainingDiverged,
    TrainingInterrupted,
)
from pplcnet.runs.files import RUN, TRAIN
from pplcnet.runs.stopped import restartable, resumable
from pplcnet.training.names import CHECKPOINT
from tests.runs.conftest import write_checkpoint


def test_ctrl_c_before_the_first_epoch_says_that_nothing_was_trained(tmp_path: Path) -> None:
    (tmp_path / RUN).write_text("{}")
    with (
        pytest.raises(TrainingInterrupted, match="Nothing was trained yet"),
        resumable(tmp_path, TRAIN),
    ):
        raise KeyboardInterrupt


def test_a_full_disk_says_what_is_kept_and_how_to_continue(out: Path) -> None:
    write_checkpoint(out / CHECKPOINT, "old")
    with pytest.raises(StorageError) as caught, resumable(out, TRAIN):  # noqa: PT012
        full = OSError(28, "No space left on device")
        raise StorageError(f"{out / 'split.csv'}: cannot be written (disk full).") from full
    text = str(caught.value)
    assert text.startswith(f"{out / 'split.csv'}: cannot be written")
    assert "step 3 of epoch 1" in text
    assert text.endswith(f"continue with: pplcnet train --resume --out {out}")


@pytest.mark.parametrize("within", ["", "fold-2", "search/trial-1", "teacher"])
def test_a_training_stopped_inside_a_run_names_the_run_to_resume(out: Path, within: str) -> None:
    with pytest.raises(TrainingInterrupted) as caught, resumable(out, TRAIN):
        raise TrainingInterrupted("stopped", run=str(out / within), signal=15)
    assert caught.value.run == str(out)
    assert caught.value.signal == 15


def test_a_diverged_run_says_how_to_train_again_where_it_left_something(out: Path) -> None:
    with (
        pytest.raises(TrainingDiverged, match=r"add --overwrite .* another --out"),
        restartable(out),
    ):
        raise TrainingDiverged("the loss became NaN.")
    with pytest.raises(TrainingDiverged, match=r"NaN\.$"), restartable(out / "empty"):
        raise TrainingDiverged("the loss became NaN.")


def test_an_export_that_fails_keeps_the_training_and_says_how_to_try_again(out: Path) -> None:
    with pytest.raises(ConversionError) as caught, resumable(out, TRAIN):
        raise ConversionError("the exported network does not agree with Keras.")
    message = str(caught.value)
    assert message.startswith("the exported network does not agree with Keras. In ")
    assert "is saved. To try the rest of the run again: pplcnet train --resume --out" in message
    assert message.endswith(f"or the export alone: pplcnet export {out / 'model.bundle'}")
