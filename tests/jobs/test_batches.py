"""Batches of other frameworks get the answers of `predict_many`."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pplcnet
from pplcnet.errors import InputError


@pytest.fixture
def paths(common_photos: Path, tmp_path: Path) -> list[Path]:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    return [*sorted((common_photos / "class_0").iterdir())[:3], tmp_path / "broken.jpg"]


def test_a_batch_of_arrays_keeps_its_other_columns(common_bundle: Path, paths: list[Path]) -> None:
    classify = pickle.loads(pickle.dumps(pplcnet.BatchClassifier(common_bundle, top_k=2)))
    batch = {
        "bytes": np.array([each.read_bytes() for each in paths], object),
        "id": np.arange(len(paths)),
    }
    found = classify(batch)
    assert list(found) == ["id", "label", "probability", "answers", "error"]
    with pplcnet.load(common_bundle) as model:
        expected = list(model.predict_many(paths))
    assert list(found["answers"][:3]) == [each.rows(2) for each in expected[:3]]
    assert list(found["label"]) == [each.best.label for each in expected[:3]] + [None]
    assert list(found["error"]) == [None] * 3 + [expected[3].error.reason]


def test_a_data_frame_of_paths_gives_a_data_frame(common_bundle: Path, paths: list[Path]) -> None:
    frame = pd.DataFrame({"path": map(str, paths)}, index=[3, 1, 4, 5])
    found = pplcnet.BatchClassifier(common_bundle)(frame)
    assert list(found.columns) == ["path", "label", "probability", "answers", "error"]
    assert list(found.index) == [3, 1, 4, 5]
    assert found["error"].isna().tolist() == [True, True, True, False]


def test_a_batch_without_photos_says_what_it_has(common_bundle: Path) -> None:
    with pytest.raises(InputError, match="no column 'bytes' or 'image' or 'path', but 'id'"):
        pplcnet.BatchClassifier(common_bundle)({"id": np.arange(2)})
    with pytest.raises(InputError, match="no column 'photo', but 'id'"):
        pplcnet.BatchClassifier(common_bundle, column="photo")({"id": np.arange(2)})


def test_a_column_that_answers_would_replace_is_refused(common_bundle: Path) -> None:
    with pytest.raises(InputError, match="has the column 'label', which the answers would replace"):
        pplcnet.BatchClassifier(common_bundle)({"path": ["a.jpg"], "label": ["cat"]})


@pytest.mark.slow
def test_ray_data_maps_its_batches(common_bundle: Path, paths: list[Path]) -> None:
    pytest.importorskip("ray", reason="needs ray, which 'make test' installs")
    code = (
        "import sys, ray, pplcnet\n"
        "ray.init('local', num_cpus=2, include_dashboard=False, log_to_driver=False)\n"
        "photos = ray.data.read_binary_files(sys.argv[2:], include_paths=True)\n"
        "found = photos.map_batches(pplcnet.BatchClassifier, fn_constructor_args=[sys.argv[1]],\n"
        "    concurrency=1, num_cpus=1, batch_size=3)\n"
        "for row in sorted(found.take_all(), key=lambda row: row['path']):\n"
        "    print(row['label'], bool(row['error']), len(row['answers'] or ()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(common_bundle), *map(str, paths)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with pplcnet.load(common_bundle) as model:
        expected = [
            f"{None if each.error else each.best.label} {bool(each.error)} {int(not each.error)}"
            for each in model.predict_many(sorted(paths))
        ]
    assert done.stdout.splitlines() == expected
