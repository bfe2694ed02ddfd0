"""What 'pplcnet pretrain' refuses before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "own.weights"], "must end in .npz"),
        (["--out", "there.npz"], "exists; choose another name, or add --overwrite"),
        (["--out", "own.npz", "--model", "pplcnet_x9"], "unknown network 'pplcnet_x9'"),
        (["--out", "missing/own.npz"], "missing: no such folder"),
        (["--out", "folder.npz", "--overwrite"], "folder.npz: is a folder"),
    ],
)
def test_one_line_says_what_is_wrong(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.npz").write_bytes(b"kept")
    Path("folder.npz").mkdir()
    assert main(["pretrain", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert Path("there.npz").read_bytes() == b"kept"


def test_views_and_minutes_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["pretrain", "--out", "own.npz", "--views", "10", "--minutes", "1"])
    assert "not allowed with" in capsys.readouterr().err
