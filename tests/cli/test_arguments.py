"""Photos and bundles are given to every verb in the same ways."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pplcnet.cli.main import VERBS, main, parser_of

# Verb to its arguments without photos, and what goes in front of photos in the older way.
PHOTOS = {
    "train": (["--out", "o"], []),
    "distill": (["--out", "o"], []),
    "suspects": (["--out", "o"], []),
    "check": ([], []),
    "evaluate": (["b"], []),
    "report": (["b", "--out", "o.html"], []),
    "quantize": (["b"], ["--validation"]),
    "tune": (["b"], ["--validation"]),
    "calibrate": (["b"], ["--validation"]),
    "export": (["b"], ["--images"]),
    "convert": (["f", "--out", "o"], ["--images"]),
    "gallery build": (["b", "--out", "o"], []),
    "gallery add": (["g"], []),
    "gallery evaluate": (["g"], []),
}
BUNDLES = {
    "evaluate": "{} p", "report": "{} p --out o.html", "quantize": "{} --photos p",
    "tune": "{} --photos p", "calibrate": "{} --photos p", "inspect": "{}", "export": "{}",
    "convert": "{} --out o --photos p", "predict": "{} p", "embed": "{} p --out o.npy",
    "gallery build": "{} p --out o", "gallery search": "g p --bundle {}",
    "benchmark": "{}",
    "distill": "p --out o --teacher {}", "train": "p --out o --weights {}",
}  # fmt: skip


@pytest.mark.parametrize("verb", PHOTOS)
def test_every_verb_takes_photos_in_the_common_way_and_in_its_own(verb: str) -> None:
    others, older = PHOTOS[verb]
    parser = parser_of(verb)

    def given(*arguments: str) -> set[tuple[str, str]]:
        parsed = vars(parser.parse_args([*arguments]))
        return {(name, str(value)) for name, value in parsed.items() if name != "photos_option"}

    wanted = given(*others, *older, "the photos")
    assert "the photos" in dict(wanted).values()
    assert given(*others, "--photos", "the photos") == wanted
    assert given("--photos", "the photos", *others) == wanted


@pytest.mark.parametrize("verb", [verb for verb, (_, older) in PHOTOS.items() if not older])
def test_photos_are_given_once(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    others, _ = PHOTOS[verb]
    for photos, complaint in (
        (["p", "--photos", "q"], "mean the same"),
        ([], "required: PHOTOS"),
        ([""], "required: PHOTOS"),
        (["p", "q"], "unrecognized arguments: q"),
    ):
        with pytest.raises(SystemExit, match="2"):
            parser_of(verb).parse_args([*others, *photos])
        assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("verb", BUNDLES)
def test_every_verb_takes_a_run_for_its_bundle(verb: str, tmp_path: Path) -> None:
    bundle = tmp_path / "run" / "model.bundle"
    bundle.mkdir(parents=True)
    parsed = parser_of(verb).parse_args(BUNDLES[verb].format(bundle.parent).split())
    assert str(bundle) in str(vars(parsed))
    assert vars(parser_of(verb).parse_args(BUNDLES[verb].format(bundle).split())) == vars(parsed)


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_photos_for_every_verb_that_takes_them(verb: str) -> None:
    text = parser_of(verb).format_help()
    takes_photos = verb in PHOTOS or verb in ("predict", "embed", "gallery search")
    assert ("--photos" in text) == takes_photos


@pytest.mark.parametrize("verb", ["export", "convert"])
def test_tflite_is_another_name_for_litert(verb: str) -> None:
    others, _ = PHOTOS[verb]
    given = [*others, "--photos", "p"]
    assert parser_of(verb).parse_args([*given, "--to", "tflite"]).to == "litert"
    assert parser_of(verb).parse_args([*given, "--to", "litert"]).to == "litert"
    assert parser_of(verb).parse_args(given).to == "onnx"


def test_an_unknown_verb_in_another_place_is_no_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "models"]) == 2
    assert "unknown verb '--json'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "export B --pack b.zip --detections d.onnx",
            "--detections works only on its own; leave out",
        ),
        ("export B --pack b.zip --scales 0.5", "--scales works only on its own; leave out --pack"),
        ("export B --class-map c.onnx --batch dynamic", "leave out --batch"),
        ("export B --overwrite", "--overwrite needs --pack"),
        ("benchmark --engine openvino", "--engine: for --profile only"),
        ("benchmark --profile --compare timm --int8", "leave out --int8 and --compare"),
        (f"benchmark --python timm={sys.executable}", "--compare does not"),
        ("tune B --photos P --calibration C", "--calibration needs --int8"),
        ("tune B --photos P --minutes 3", "--minutes needs --int8"),
        ("tune B --photos P --keep-slower", "--keep-slower needs --int8"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    command: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pplcnet.cli.tune.check_installed", lambda: None)
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
