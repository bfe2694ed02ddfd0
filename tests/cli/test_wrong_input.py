"""Wrong input ends in one `error:` line on stderr and exit code 2, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from pplcnet.bundle.bundle import Bundle
from pplcnet.cli.main import main
from tests.conftest import write_photos


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, common_bundle: Path) -> Path:
    """A folder with everything that the wrong command lines below name."""
    tmp_path = tmp_path_factory.mktemp("made")
    write_photos(tmp_path / "photos", classes=2, each=4)
    write_photos(tmp_path / "one", classes=1, each=4)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "broken.toml").write_text("epochs = = 1")
    (tmp_path / "other.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    shutil.copytree(common_bundle, tmp_path / "good.bundle")
    changed = Path(shutil.copytree(common_bundle, tmp_path / "changed.bundle"))
    content = bytearray((changed / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (changed / "model.onnx").write_bytes(content)
    Bundle.open(common_bundle).pack(tmp_path / "packed.zip")
    newer = Path(shutil.copytree(common_bundle, tmp_path / "newer.bundle"))
    manifest = json.loads((newer / "manifest.json").read_text())
    (newer / "manifest.json").write_text(json.dumps(manifest | {"format_version": 99}))
    (tmp_path / "used" / "run").mkdir(parents=True)
    for name in ("run.json", "checkpoint.npz"):
        (tmp_path / "used" / name).write_text("{}")
    return tmp_path


@pytest.fixture
def place(tmp_path: Path, made: Path) -> Path:
    """The folder for one test: its files are links, which a command replaces but never changes."""
    return Path(shutil.copytree(made, tmp_path / "place", copy_function=os.link))


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("train nowhere --out new", "nowhere: no such folder or file"),
        ("train empty --out new", "no images"),
        ("train one --out new", "one class only ('class_0')"),
        ("train photos --out new --model pplcnet_x1", "did you mean pplcnet_x1_"),
        ("train photos --out new --image-size 0", "image_size is (0, 0); it must be 1 to 4096"),
        ("train photos --out new --epochs many", "epochs is 'many'; it must be a whole number"),
        ("train photos --out new --set epoch=3", "did you mean epochs"),
        ("train photos --out new --set epochs", "not of the form field=value"),
        ("train photos --out new --recipe broken.toml", "not readable as TOML"),
        ("train photos --out new --weights absent.npz", "no such weights file"),
        ("train photos --out new --resume", "no run to resume"),
        ("train photos --out new --resume --overwrite", "exclude each other"),
        ("train photos --out used", "used/run.json: is damaged ('recipe' is missing)"),
        ("quantize good.bundle --validation nowhere", "nowhere: no such folder or file"),
        (
            "quantize good.bundle --validation photos --max-drop 7",
            "--max-drop: '7' is not allowed; it must be a number",
        ),
        ("quantize good.bundle", "required: --photos/--validation"),
        ("tune nowhere --validation photos", "nowhere: no such bundle"),
        ("tune good.bundle --validation photos", "the bundle has class_0, class_1, class_2"),
        ("benchmark pplcnet_x10", "did you mean pplcnet_x1_0"),
        (
            "benchmark pplcnet_x0_25 --image-size 0",
            "image size is 0x0; each side must be from 1 to 4096 pixels",
        ),
        ("benchmark pplcnet_x0_25 --python paddle", "must be NAME=PATH"),
        ("benchmark pplcnet_x0_25 --compare padle", "did you mean paddle"),
        ("predict good.bundle photos --engine openvno", "cannot run as openvno"),
        ("predict good.bundle photos --precision int8", "cannot run as int8"),
        ("train photos --out used --resume", "run.json: is damaged"),
        ("train photos --out text.jpg", "is a file"),
        ("train photos --out text.jpg/run", "text.jpg is a file, not a folder"),
        ("convert text.jpg --out text.jpg/b --images photos", "text.jpg: is a file, not a folder"),
        (
            "convert text.jpg --out good.bundle --photos photos",
            "good.bundle: already holds a bundle",
        ),
        ("convert text.jpg --out changed.bundle", "changed.bundle: already holds a bundle"),
        ("export good.bundle --pack packed.zip", "packed.zip: already holds a bundle"),
        ("convert text.jpg --out empty/.. --images photos", "exists and is not a bundle"),
        ("benchmark pplcnet_x0_25 --out text.jpg", "text.jpg: is a file, not a folder"),
        ("evaluate good.bundle photos --out text.jpg", "text.jpg: is a file, not a folder"),
        ("export good.bundle --pack text.jpg/x.zip", "text.jpg: is a file, not a folder"),
        ("train photos --out new --set cache_gigabytes=inf", "must be a finite number"),
        ("tune good.bundle --validation empty", "no images"),
        ("train photos --out photos/run", "photos/run: is inside the photos' folder photos"),
        ("train photos --out new --seed -1", "seed is -1"),
        ("train photos", "required: --out"),
        ("predict nowhere.bundle text.jpg", "no such bundle"),
        ("predict good.bundle nowhere.jpg", "no such file or folder"),
        ("predict good.bundle empty", "no images in this folder"),
        (
            "predict good.bundle text.jpg --top-k 0",
            "--top-k: '0' is not allowed; it must be a whole number",
        ),
        ("predict good.bundle photos --threads 0", "--threads: '0' is not allowed"),
        ("predict changed.bundle photos", "checksum"),
        ("predict newer.bundle photos", "install a newer pplcnet"),
        ("predict photos photos", "manifest.json is missing"),
        ("inspect changed.bundle", "checksum"),
        ("inspect nowhere", "no such bundle"),
        ("evaluate good.bundle nowhere", "no such folder"),
        ("evaluate good.bundle photos --split test", "has no test photos"),
        ("evaluate nowhere photos", "no such bundle"),
        ("export good.bundle --batch 3", "--batch is '3'"),
        ("export good.bundle --to foo", "--to: 'foo' is not allowed; it must be onnx or tflite"),
        (
            "train photos --out new --image-size abc",
            "image_size is 'abc'; it must be a whole number, or two",
        ),
        ("train photos --out new --epochs 0", "the recipe has 1 fault:"),
        ("export good.bundle --images nowhere", "no photos there"),
        ("export nowhere.bundle", "no such bundle"),
        ("identify good.bundle", "unknown verb 'identify'"),
        ("predic good.bundle", "did you mean predict"),
        ("predict", "required: BUNDLE, IMAGE_OR_FOLDER"),
        ("models --colour", "unrecognized arguments"),
        ("models --family ghost", "did you mean ghostnet"),
        ("models --max-macs 1", "no network matches"),
        ("models --sort size", "invalid choice"),
        ("convert nowhere.pdparams --out new --images photos", "no such file or folder"),
        ("convert text.jpg --out new --images photos", "weights are read from"),
        ("convert text.jpg --out new --images nowhere", "no photos there"),
        ("convert text.jpg --model pplcnet --out new --images photos", "did you mean"),
        ("predict pplcnet_x1_0:imagnet photos", "did you mean imagenet"),
        ("predict ghostnet_x0_5:timm photos", "there are imagenet"),
        (
            "train photos --out new --weights none --set freeze=blocks4",
            "freeze is 'blocks4'; it needs weights",
        ),
        (
            "train photos --out new --weights imagnet",
            "no such weights file, and not one of imagenet",
        ),
        # Numbers that are none, or out of any range, or in other digits.
        (
            "predict good.bundle photos --top-k nan",
            "--top-k: 'nan' is not allowed; it must be a whole number",
        ),
        ("predict good.bundle photos --top-k -1", "--top-k: '-1' is not allowed"),
        ("predict good.bundle photos --top-k ٣", "--top-k: '٣' is not allowed"),
        ("predict good.bundle photos --top-k 1_0", "--top-k: '1_0' is not allowed"),
        (f"predict good.bundle photos --threads {'9' * 30}", "--threads: '999"),
        (f"predict good.bundle photos --threads {'9' * 5000}", "--threads: '999"),
        ("benchmark pplcnet_x0_25 --rounds 0", "--rounds: '0' is not allowed"),
        ("benchmark pplcnet_x0_25 --threads 0", "--threads: '0' is not allowed"),
        ("benchmark pplcnet_x0_25 --image-size 1e9", "--image-size: '1e9' is not allowed"),
        ("benchmark nowhere.bundle", "unknown network or bundle 'nowhere.bundle'"),
        ("benchmark text.jpg", "neither a bundle folder nor"),
        ("models --max-macs nan", "--max-macs: 'nan' is not allowed; it must be a number from"),
        ("models --max-macs -5", "--max-macs: '-5' is not allowed"),
        ("models --max-macs ٥", "--max-macs: '٥' is not allowed"),
        ("tune good.bundle --photos photos --max-drop inf", "--max-drop: 'inf' is not allowed"),
        (
            "quantize good.bundle --photos photos --max-drop -0.1",
            "--max-drop: '-0.1' is not allowed",
        ),
        (
            "report good.bundle photos --out new --precision nan",
            "--precision: 'nan' is not allowed",
        ),
        # A thing of another kind than the one that is meant.
        ("predict text.jpg good.bundle", "is a photo, not a bundle; the bundle comes first"),
        ("predict good.bundle /dev/null photos nowhere.png", "nowhere.png: no such file"),
        ("predict /dev/zero photos", "/dev/zero: is a pipe or a device"),
        ("inspect /dev/zero", "/dev/zero: is a pipe or a device"),
        ("evaluate good.bundle /dev/zero", "/dev/zero: is a pipe or a device"),
        ("convert a.npz --classes /dev/zero --out new --photos photos", "/dev/zero: is a pipe"),
        ("train photos --out new --recipe /dev/zero", "/dev/zero: is a pipe or a device"),
        ("train photos --out new --weights /dev/urandom", "/dev/urandom: is a pipe or a device"),
        ("report good.bundle photos --out new --suspects /dev/zero", "/dev/zero: is a pipe"),
        ("inspect photos", "manifest.json is missing"),
        ("check good.bundle/model.onnx", "not a data set"),
        ("check text.jpg", "not a data set"),
        # Outputs that would replace what is there.
        ("report good.bundle photos --out text.jpg", "exists and is not a .html file"),
        ("report good.bundle photos --out broken.toml", "exists and is not a .html file"),
        ("report good.bundle photos --out photos", "is an input of this command"),
        ("report good.bundle photos --out nowhere/a.html", "its folder does not exist"),
        ("check photos --html text.jpg", "exists and is not a .html file"),
        ("check photos --json broken.toml", "exists and is not a .json file"),
        ("check photos --json photos", "is an input of this command"),
        ("check photos --json /dev/null", "/dev/null: is a pipe or a device"),
        ("check photos --html /dev/full", "/dev/full: is a pipe or a device"),
        ("report good.bundle photos --out /dev/null", "/dev/null: is a pipe or a device"),
        ("export good.bundle --pack /dev/null", "/dev/null: is a pipe or a device"),
        ("evaluate good.bundle photos --out /dev/null", "/dev/null: is a pipe or a device"),
        ("export good.bundle --pack text.jpg", "exists and is not a .zip file"),
        ("export good.bundle --pack other.zip", "exists and is not a bundle"),
        ("convert good.bundle --out good.bundle --photos photos", "is an input of this command"),
        ("convert good.bundle --out photos --photos photos", "is an input of this command"),
        ("evaluate good.bundle photos --out photos", "is an input of this command"),
        ("evaluate good.bundle photos --out good.bundle", "is an input of this command"),
        ("train photos --out photos", "is an input of this command"),
    ],
)
def test_wrong_input(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    complaint: str,
) -> None:
    monkeypatch.chdir(place)
    try:
        code = main(command.split())
    except SystemExit as stopped:
        code = stopped.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("error: ") == 1
    said = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert said[0].startswith("error: ")
    assert complaint in err
    assert not (place / "new").exists()
    assert (place / "text.jpg").read_text() == "no image"
    assert (place / "broken.toml").read_text() == "epochs = = 1"


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "", "photos"],
        ["predict", "good.bundle", ""],
        ["inspect", ""],
        ["check", "", "--html", "x.html"],
        ["check", "photos", "--json", ""],
        ["train", "photos", "--out", ""],
        ["train", "photos", "--out", "new", "--recipe", ""],
        ["evaluate", "good.bundle", "photos", "--out", ""],
        ["export", "good.bundle", "--pack", ""],
        ["benchmark", "", "--out", "new"],
        ["benchmark", "pplcnet_x0_25", "--out", ""],
        ["models", "--family", ""],
        [""],
    ],
    ids=" ".join,
)
def test_an_empty_name_is_wrong_input(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command
) -> None:
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    try:
        code = main(command)
    except SystemExit as stopped:
        code = stopped.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(place.rglob("*")) == before


def test_faults_of_the_photos_stop_training_and_are_all_listed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "photos" / "class_0" / "bad.png").write_bytes(b"")
    (place / "photos" / "class_1" / "worse.jpg").write_bytes(b"no image")
    assert main(["train", str(place / "photos"), "--out", str(place / "new")]) == 2
    error = capsys.readouterr().err
    assert "class_0/bad.png" in error
    assert "class_1/worse.jpg" in error
    assert "--skip-broken" in error
    assert not (place / "new").exists()


def test_no_verb_shows_the_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.count("predict") >= 2


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib import metadata

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pplcnet {metadata.version('pplcnet')}\n"
