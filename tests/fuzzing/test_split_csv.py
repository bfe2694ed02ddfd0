"""A mutated split.csv says what it says, or nothing; it never ends a verb in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.data.annotations import ClassLabel, Marks
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.reports.recorded import find_recorded
from tests.fuzzing.harness import fuzz

DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of nothing
SINGLE = f"path,label,split,sha256\ninput.csv,cat,train,{DIGEST}\nb.png,dog,test,{DIGEST}\n"
COLUMNS = f"path,cat,dog,split,sha256\ninput.csv,1,0,train,{DIGEST}\nb.png,-1,1,test,{DIGEST}\n"
OLDER = "path,label,split\ninput.csv,cat,train\n/nowhere/b.png,dog,validation\n"


def find(path: Path) -> None:
    for task, annotation in (("classification", ClassLabel(0)), ("multilabel", Marks((1, 0)))):
        images = (LabelledImage(path, annotation),)
        given = Dataset(path.parent, ("cat", "dog"), images, task=task)
        found = find_recorded(given, path, path.parent)
        assert len(found.images) == 1
        assert found.gone >= 0
        assert found.known <= {path}
        for note in found.notes:
            note.encode()


@pytest.mark.slow
def test_mutated_split_files_are_read_or_ignored(tmp_path: Path) -> None:
    seeds = {"single": SINGLE, "columns": COLUMNS, "older": OLDER}
    tokens = [b"train", b"validation", b"test", b"sha256", b"\0", b'"', b"../", DIGEST.encode()]
    fuzz(
        find,
        {name: text.encode() for name, text in seeds.items()},
        tmp_path,
        suffix=".csv",
        tokens=tokens,
    )
