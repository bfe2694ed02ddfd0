"""Whole runs that start from what is at hand, and go on from the same."""

from __future__ import annotations

import json
import shutil
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.starts import recorded_start, settle_start
from pplcnet.runs.training_run import run_job
from pplcnet.system.cache import cache_folder
from pplcnet.system.progress import Watcher
from pplcnet.weights import starts
from pplcnet.weights.downloading import HASTY
from pplcnet.weights.starts import Start
from tests.weights.conftest import server  # noqa: F401
from tests.weights.download_server import SOURCE

OFFICIAL = "reference/paddle_files/PPLCNet_x0_25_17classes.pdparams"
SMALL = [
    "--model", "pplcnet_x0_25", "--image-size", "32", "--batch-size", "9", "--epochs", "1",
    "--set", "warmup_epochs=0",
]  # fmt: skip


def _run_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())


def test_official_weights_that_can_be_fetched_are_the_start(
    server: ThreadingHTTPServer,  # noqa: F811
    shared: Path,
    common_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = (shared / OFFICIAL).read_bytes()
    server.behave = lambda handler, turn: handler.send_file(content)
    out = tmp_path / "run"
    command = ["train", str(common_photos), "--out", str(out), *SMALL, "--set", "freeze=trunk"]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "start: the official weights (imagenet)" in said.out + said.err
    assert "start       the official weights (imagenet)" in said.out
    run, recipe = _run_of(out), Recipe.from_toml(out / "recipe.toml")
    assert recorded_start(run) == Start("auto", "imagenet")
    assert run["recipe"]["weights"] == recipe.weights == "imagenet"
    assert recipe.ema == Recipe.named("finetune").ema
    made = Bundle.open(out / "model.bundle").manifest.provenance["weights"]
    assert (made["asked"], made["weights"]) == ("auto", "imagenet")
    assert made["file"] == str(cache_folder() / "weights" / SOURCE.file_name)
    assert len(made["sha256"]) == 64
    assert "the official weights (imagenet)" in (out / "report.html").read_text()
    assert len(server.asked) == 1
    # A resumed run needs neither the server nor the cache.
    shutil.rmtree(cache_folder())
    assert main(["train", "--resume", "--out", str(out), "--weights", "auto"]) == 0
    assert main(["train", "--resume", "--out", str(out), "--weights", "fractal"]) == 2
    assert "the run has 'imagenet'" in capsys.readouterr().err
    assert len(server.asked) == 1


@pytest.mark.slow
def test_a_file_by_pretrain_is_trained_from_as_the_shipped_backbone_is(
    shipped_backbone: Path,
    common_photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, file = tmp_path / "run", tmp_path / "own.npz"
    shutil.copy(shipped_backbone, file)
    assert (
        main(["train", str(common_photos), "--out", str(out), *SMALL, "--weights", str(file)]) == 0
    )
    assert f"start       {file}, a backbone from 'pplcnet pretrain'" in capsys.readouterr().out
    sizes = {"epochs": 1, "batch_size": 9, "warmup_epochs": 0.0}
    expected = adapted(Recipe.named("fractal").changed(sizes), 100)
    recipe = Recipe.from_toml(out / "recipe.toml")
    assert (recipe.learning_rate, recipe.ema) == (expected.learning_rate, expected.ema)
    made = Bundle.open(out / "model.bundle").manifest.provenance["weights"]
    assert (made["weights"], made["is_pretrain_file"]) == (str(file), True)
    assert f"{file}, a backbone from " in (out / "report.html").read_text()


class _StopsAfterTheTraining(Watcher):
    def say(self, line: str) -> None:
        if line.startswith("best epoch"):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_goes_on_from_the_start_it_found_although_there_is_a_better_one_now(
    server: ThreadingHTTPServer,  # noqa: F811
    shipped_backbone: Path,
    common_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def hang(handler: Any, turn: int) -> None:
        handler.rfile.read(1)  # which never comes

    monkeypatch.setattr(starts, "HASTY", HASTY._replace(head_s=0.3))
    server.behave = hang
    out = tmp_path / "run"
    command = ["train", str(common_photos), "--out", str(out), *SMALL]
    with monkeypatch.context() as patched:
        patched.setattr("pplcnet.cli.train.Console", _StopsAfterTheTraining)
        assert main(command) == 130
    run = _run_of(out)
    assert run["start"]["weights"] == run["recipe"]["weights"] == "fractal"
    assert "no response within 0.3 seconds" in run["start"]["reason"]
    server.behave = lambda handler, turn: handler.send_error(404)
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert len(server.asked) == 1
    line = (
        "fractal, the backbone that ships with pplcnet; the official weights would be better, but "
    )
    assert f"start       {line}" in capsys.readouterr().out
    made = Bundle.open(out / "model.bundle").manifest.provenance["weights"]
    assert (made["asked"], made["weights"]) == ("auto", "fractal")
    assert made["file"] == str(shipped_backbone)
    assert line in (out / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("answer", [404, 503, b"", b"damaged", None])
def test_every_failure_ends_in_a_whole_run(
    server: ThreadingHTTPServer,  # noqa: F811
    shipped_backbone: Path,
    common_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: int | bytes | None,
) -> None:
    if answer is None:  # connection refused
        monkeypatch.setenv("PPLCNET_MIRROR", "http://127.0.0.1:9")
    server.behave = lambda handler, turn: (
        handler.send_error(answer) if isinstance(answer, int) else handler.send_file(answer)
    )
    out = tmp_path / "run"
    assert main(["train", str(common_photos), "--out", str(out), *SMALL]) == 0
    assert recorded_start(_run_of(out)).weights == "fractal"


def test_weights_that_are_demanded_and_missing_stop_the_run_before_it_begins(
    common_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for weights, complaint in (("imagenet", "PPLCNET_OFFLINE is set"), ("timm", "has no 'timm'")):
        out = tmp_path / weights
        command = ["train", str(common_photos), "--out", str(out), *SMALL, "--weights", weights]
        assert main(command) == 2
        assert complaint in capsys.readouterr().err
        assert not out.exists()


def test_a_run_from_before_starts_were_recorded_keeps_its_random_values() -> None:
    lines: list[str] = []
    for recorded in ({"weights": None}, {}):
        before = {"recipe": {"epochs": 3, **recorded}}
        recipe, start = settle_start(Recipe(epochs=3), before, lines.append)
        assert (recipe, start) == (Recipe(epochs=3, weights=None), Start(None, None))
    assert lines == []


def test_a_data_set_with_faults_costs_no_download(
    server: ThreadingHTTPServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    with pytest.raises(Exception, match=r"no photos|no such|does not exist"):
        run_job(tmp_path / "nowhere", Recipe(model="pplcnet_x0_25"), tmp_path / "run")
    assert server.asked == []
