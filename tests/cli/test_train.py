"""The main job from the command line: photos in, everything out, and every way to go on."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.writing import update_bundle
from pplcnet.cli.console import Console
from pplcnet.cli.main import main
from pplcnet.cli.train import add_arguments, read_recipe
from pplcnet.data.dataset import Dataset
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import TRAIN
from pplcnet.runs.folder import RunFolder
from tests.conftest import write_photos

pytestmark = pytest.mark.usefixtures("shallow_networks")

# Of the networks with the quickest graphs.
SMALL = ["--model", "mobilenetv1_x0_25", "--image-size", "32", "--batch-size", "9"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on photos of which two are broken."""
    folder = tmp_path_factory.mktemp("train")
    photos = write_photos(folder / "photos", classes=3, each=20)
    (photos / "class_0" / "bad.png").write_bytes(b"")
    (photos / "class_1" / "worse.png").write_bytes(b"no image")
    out = folder / "run"
    command = ["train", str(photos), "--out", str(out), *SMALL, "--epochs", "2", "--skip-broken"]
    assert main(command) == 0
    return out


def test_everything_is_there(run: Path) -> None:
    assert {each.name for each in run.iterdir()} == {
        "model.bundle", "evaluation", "history.csv", "recipe.toml", "run.json", "split.csv",
        "skipped.csv", "checkpoint.npz", "report.html",
    }  # fmt: skip
    bundle = Bundle.open(run / "model.bundle")
    bundle.verify()
    assert set(bundle.manifest.variants) == {"keras", "onnx"}
    onnx = bundle.variant("onnx")
    figures = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert onnx["figures"]["test"]["top1"] == figures["top1"]
    assert onnx["parity"]["agreement"] == 1.0
    made_of = bundle.manifest.provenance["dataset"]
    assert made_of["split_seed"] == 0
    assert len(made_of["digest"]) == 64


def test_the_report_is_of_the_run(run: Path) -> None:
    page = (run / "report.html").read_text()
    for part in (
        "On 9 test photos",
        "Chosen on 9 validation photos, measured on the 9 reported ones",
        "of one of the 42 training photos",
        "The coloured areas are the evidence for a class (Grad-CAM)",
        "Loss by epoch",
    ):
        assert part in " ".join(page.split())


def test_a_run_is_whole_without_a_report(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    (out / "report.html").unlink()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert main(["train", "--resume", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "no report.html: writing the report needs jinja2" in said.err
    assert f"report      {out / 'evaluation' / 'evaluation.md'}" in said.out
    assert not (out / "report.html").exists()


def test_the_split_is_recorded_and_the_broken_files_are_listed(run: Path) -> None:
    split = Dataset.open(run / "split.csv")
    assert [len(split.subset(s)) for s in ("train", "validation", "test")] == [42, 9, 9]
    skipped = (run / "skipped.csv").read_text()
    assert "class_0/bad.png,unreadable" in skipped
    assert "class_1/worse.png,unreadable" in skipped


def test_the_bundle_predicts(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = run.parent / "photos" / "class_2" / "003.png"
    assert main(["predict", str(run / "model.bundle"), str(image)]) == 0
    assert "class_" in capsys.readouterr().out


def test_export_finds_the_sound_photos_by_itself(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run / "model.bundle")]) == 0
    assert "parity" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (["--epochs", "3"], "you gave epochs=3, the run has 2"),
        (["--seed", "1"], "you gave seed=1, the run has 0"),
    ],
)
def test_a_resumed_run_keeps_its_recipe(
    run: Path, capsys: pytest.CaptureFixture[str], change: list[str], complaint: str
) -> None:
    photos, settings = str(run.parent / "photos"), [*SMALL, "--epochs", "2", "--skip-broken"]
    assert main(["train", photos, "--out", str(run), *settings, *change, "--resume"]) == 2
    assert complaint in capsys.readouterr().err


def test_a_resumed_run_keeps_its_photos(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extra = run.parent / "photos" / "class_0" / "new.bmp"
    from tests.conftest import draw_image

    draw_image(0, 500).save(extra)
    photos, settings = str(run.parent / "photos"), [*SMALL, "--epochs", "2", "--skip-broken"]
    try:
        assert main(["train", photos, "--out", str(run), *settings, "--resume"]) == 2
    finally:
        extra.unlink()
    assert "not those that the run started with" in capsys.readouterr().err


def test_resuming_a_finished_run_says_so_and_keeps_what_was_made_of_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shutil.copytree(run, tmp_path / "run")
    bundle = Bundle.open(out / "model.bundle")
    tuning = {"another processor, 64 cores": {"ranking": []}}
    variant = {"file": "model.int8.onnx", "precision": "int8"}
    content = bundle.read("model.onnx")
    before = update_bundle(
        bundle, files={"model.int8.onnx": content}, variants={"int8": variant}, tuning=tuning
    ).manifest
    photos, settings = str(run.parent / "photos"), [*SMALL, "--epochs", "2", "--skip-broken"]
    assert main(["train", photos, "--out", str(out), *settings, "--resume"]) == 0
    said = capsys.readouterr()
    assert "Already finished" in said.err
    assert "epoch" not in said.err
    assert "result      " in said.out
    assert Bundle.open(out / "model.bundle").manifest == before


def test_resuming_a_finished_run_whose_bundle_is_damaged_makes_it_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    (out / "model.bundle" / "model.onnx").write_bytes(b"damaged")
    photos, settings = str(run.parent / "photos"), [*SMALL, "--epochs", "2", "--skip-broken"]
    assert main(["train", photos, "--out", str(out), *settings, "--resume"]) == 0
    assert "Already finished" not in capsys.readouterr().err
    Bundle.open(out / "model.bundle").verify()


def test_a_folder_named_like_a_recipe_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "finetune").mkdir()
    monkeypatch.chdir(tmp_path)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(["photos", "--out", "x", "--recipe", "finetune"])
    assert read_recipe(given) == Recipe.named("finetune")


def test_ctrl_c_says_how_to_continue_and_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = write_photos(tmp_path / "photos", classes=3, each=20), tmp_path / "run"
    command = ["train", str(photos), "--out", str(out), *SMALL, "--epochs", "4"]
    # Without a graph of the whole network; tests/training interrupts one that learns as a whole.
    command += ["--model", "pplcnet_x0_25", "--set", "freeze=trunk"]
    say = Console.say

    def say_and_stop(console: Console, line: str) -> None:
        say(console, line)
        if line.startswith("epoch   2/4"):
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Console, "say", say_and_stop)
        assert main(command) == 130
    advice = capsys.readouterr().err.splitlines()[-1]
    assert advice == f"Continue with: pplcnet train --resume --out {out}"
    history = (out / "history.csv").read_text().splitlines()
    assert main(shlex.split(advice)[3:]) == 0
    resumed = capsys.readouterr()
    assert (out / "history.csv").read_text().splitlines()[: len(history)] == history
    assert "epoch   4/4" in resumed.err
    assert "epoch   1/4" not in resumed.err
    assert "result      " in resumed.out


def test_training_without_keras_names_the_command_that_installs_it(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    import importlib

    real = importlib.import_module

    def without_keras(name: str, package: str | None = None):
        if name.split(".")[0] == "keras":
            raise ModuleNotFoundError("No module named 'keras'", name="keras")
        return real(name, package)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("importlib.import_module", without_keras)
    assert main(["train", str(photos), "--out", str(tmp_path / "run")]) == 2
    assert "pip install 'pplcnet[train]'" in capsys.readouterr().err


def test_a_run_that_failed_at_its_weights_can_be_started_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(run.parent / "photos"), "--out", str(tmp_path / "run"), *SMALL,
               "--epochs", "1", "--skip-broken"]  # fmt: skip
    other = [*command, "--weights", str(run / "model.bundle"), "--model", "mobilenetv1_x0_5"]
    assert main(other) == 2
    assert "holds weights of mobilenetv1_x0_25, not of mobilenetv1_x0_5" in capsys.readouterr().err
    wrong_stage = ["--weights", str(run / "model.bundle"), "--set", "freeze=blocks9"]
    assert main([*command, *wrong_stage]) == 2
    assert "unknown stage to freeze 'blocks9'" in capsys.readouterr().err
    assert RunFolder(tmp_path / "run", TRAIN).check() is None


def test_a_resumed_run_knows_its_photos_and_recipe(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--resume", "--out", str(run), "--set", "dropout=0.5"]) == 2
    assert "you gave dropout=0.5, the run has 0.0" in capsys.readouterr().err


def test_a_run_goes_on_without_a_photo_that_is_gone_when_told_to(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = Path(shutil.copytree(run, tmp_path / "run"))
    moved = Path(shutil.copytree(run.parent / "photos", tmp_path / "photos"))
    split = Dataset.open(out / "split.csv")
    gone = moved / split.subset("test").images[0].path.relative_to(run.parent / "photos")
    gone.unlink()
    command = ["train", str(moved), "--resume", "--out", str(out)]
    assert main(command) == 2
    assert "gone or unreadable" in capsys.readouterr().err
    assert main([*command, "--skip-broken"]) == 0
    said = capsys.readouterr()
    assert "continues without 1 photo of the run" in said.err
    assert "on 8 test images" in said.out
    assert gone.name in (out / "skipped.csv").read_text()
    assert main(command) == 0


def test_suspects_do_not_go_into_a_training_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "run.json").read_bytes()
    command = ["suspects", str(run.parent / "photos"), "--out", str(run), "--skip-broken"]
    for each in (command, [*command, "--resume"]):
        assert main(each) == 2
        assert "holds a run of pplcnet train" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("verb", ["train", "suspects"])
def test_a_process_that_is_stopped_saves_its_state(tmp_path: Path, verb: str, number: int) -> None:
    photos, out = write_photos(tmp_path / "photos", classes=3, each=20), tmp_path / "run"
    command = [sys.executable, "-m", "pplcnet", verb, str(photos), "--out", str(out), *SMALL,
               "--epochs", "500", "--set", "freeze="]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("epoch   2/500"):
                os.kill(process.pid, number)
                break
        rest = process.stderr.read()
    assert process.returncode == 128 + number
    assert f"pplcnet {verb} --resume --out {out}" in [
        line.partition("Continue with: ")[2] for line in rest.splitlines()
    ]
    assert "The state is saved" in rest
    assert list(out.rglob("checkpoint.npz"))
    assert not (out / ".pplcnet.lock").exists()
