"""`pplcnet classify`: exit codes, what is said, and that a job can be looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pplcnet.cli.main import main

pytest.importorskip("pyarrow", reason="jobs need pyarrow, which 'make test' installs")


def test_a_job_is_run_looked_at_and_merged(
    common_bundle: Path, common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = str(tmp_path / "JOB")
    command = ["classify", str(common_bundle), str(common_photos), "--out", job]
    assert main([*command, "--shard-photos", "30", "--shards", "0/2"]) == 0
    shown = capsys.readouterr()
    assert "30 photos in 1 shard; pplcnet_x0_25 on onnxruntime float32" in shown.err
    assert "30 photos, 0 of them broken, in 1 file" in shown.out
    assert "other shares of the shards are not done yet" in shown.out
    assert main(["classify", "--out", job, "--status"]) == 0
    assert "36 photos of" in (shown := capsys.readouterr().out)
    assert "in 2 shards: 1 done, 0 given up, 1 to do" in shown
    assert main(["classify", "--out", job, "--merge"]) == 2
    assert "1 of 2 parts are missing" in capsys.readouterr().err
    assert main([*command, "--shard-photos", "31"]) == 2
    assert "shard_photos 30, now 31" in capsys.readouterr().err
    assert main([*command, "--shard-photos", "30"]) == 0
    assert main(["classify", "--out", job, "--status", "--json"]) == 0
    capsys.readouterr()
    assert main(["classify", "--out", job, "--status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "photos": 36, "shards": 2, "done": 2, "given_up": {},
    }  # fmt: skip
    assert main(["classify", "--out", job, "--merge"]) == 0
    assert "results.parquet: 36 rows" in capsys.readouterr().out


def test_too_many_broken_photos_are_exit_code_1(
    common_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"no photo")
    command = ["classify", str(common_bundle), str(tmp_path / "photos")]
    assert main([*command, "--out", str(tmp_path / "JOB"), "--max-broken", "0"]) == 1
    assert "stopped: 1 of 1 photos is broken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shards", "2/2"], "must be I/N with I from 0 to N-1"),
        (["--max-broken", "2"], "must be a number from 0 to 1"),
        ([], "BUNDLE and SOURCE are needed"),
        (["--status"], "no job of 'pplcnet classify'"),
        (["--json"], "give --status as well"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["classify", "--out", str(tmp_path / "JOB"), *words])
    except SystemExit as end:
        code = int(end.code or 0)
    assert code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
