"""Recipe fields on the command line: every fault in one message."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.cli.main import main


@pytest.mark.parametrize("form", ["--set", "--recipe"])
def test_an_unknown_field_does_not_hide_other_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    wrong = {"epoch": 3, "dropout": 2, "learning_rates": 1, "epochs": 0}
    given = [each for name, value in wrong.items() for each in ("--set", f"{name}={value}")]
    if form == "--recipe":
        recipe = tmp_path / "mine.toml"
        recipe.write_text("\n".join(f"{name} = {value}" for name, value in wrong.items()))
        given = ["--recipe", str(recipe)]
    assert main(["train", "photos", "--out", str(tmp_path / "run"), *given]) == 2
    first, *faults = capsys.readouterr().err.splitlines()
    assert first == "error: the recipe has 4 faults:"
    texts = ("unknown recipe field 'epoch'", "unknown recipe field 'learning_rates'",
             "dropout is 2.0", "epochs is 0")  # fmt: skip
    assert all(fault.strip().startswith(text) for fault, text in zip(faults, texts, strict=True))


def test_a_single_fault_stays_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "photos", "--out", str(tmp_path), "--set", "epoch=3"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown recipe field 'epoch': did you mean")
