"""`inference.yml`: every key is used, known to have no effect, or refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import InputError, WeightsError
from pplcnet.weights.inference_settings import InferenceSettings, read_inference_settings

RESIZE, CROP = "resize_short: 256", "size: 224"
NORMALIZE = "mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]"
LABELS = "label_list: [cat, dog]"


def _read(
    folder: Path,
    *,
    decode: str = "",
    resize: str = RESIZE,
    crop: str = CROP,
    normalize: str = NORMALIZE,
    labels: str = LABELS,
    post: str = "Topk",
    more: str = "",
) -> InferenceSettings:
    steps = [
        f"DecodeImage: {{{decode}}}",
        f"ResizeImage: {{{resize}}}",
        *([f"CropImage: {{{crop}}}"] if crop else []),
        f"NormalizeImage: {{{normalize}}}",
        "ToCHWImage: null",
    ]
    listed = "".join(f"  - {step}\n" for step in steps)
    text = f"PreProcess:\n  transform_ops:\n{listed}PostProcess:\n  {post}: {{{labels}}}\n{more}"
    (folder / "inference.yml").write_text(text, encoding="utf-8")
    return read_inference_settings(folder)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("no, yes", ("no", "yes")),
        ("010, 0o17, 1_000, 1:30", ("010", "0o17", "1_000", "1:30")),
        ("null, ~, 2020-01-01, .inf", ("null", "~", "2020-01-01", ".inf")),
        ("'no', \"null\", 'a b'", ("no", "null", "a b")),
        ("*a, &b dog, *b2", None),
    ],
)
def test_names_are_read_as_they_stand(tmp_path: Path, given: str, wanted) -> None:
    if wanted is None:
        with pytest.raises(WeightsError, match=r"which is not there yet|not YAML"):
            _read(tmp_path, labels=f"label_list: [{given}]")
        return
    assert _read(tmp_path, labels=f"label_list: [{given}]").classes == wanted


def test_duplicate_names_get_their_index(tmp_path: Path) -> None:
    settings = _read(tmp_path, labels="label_list: [heron, crane, bell, crane]")
    assert settings.classes == ("heron", "crane (1)", "bell", "crane (3)")


def test_a_key_without_a_value_is_not_given(tmp_path: Path) -> None:
    settings = _read(
        tmp_path,
        resize=f"{RESIZE}, interpolation: null, backend: ~",
        normalize=f"{NORMALIZE}, scale: null, order: ",
        post="MultiLabelThreshOutput",
        labels=f"threshold: null, {LABELS}",
    )
    assert settings.threshold == 0.5
    assert settings.preprocessing is not None
    assert settings.preprocessing.interpolation == "opencv-bilinear"


def test_what_is_known_is_used(tmp_path: Path) -> None:
    settings = _read(
        tmp_path,
        decode="to_rgb: True, channel_first: false, backend: cv2",
        resize="resize_short: 256, interpolation: bicubic, backend: pil, return_numpy: true",
        normalize=f"{NORMALIZE}, scale: 1.0/255.0, order: hwc, channel_num: 3, is_scale: true",
        labels=f"topk: 5, {LABELS}",
        more="Global: {model_name: x, class_num: 2}\nHpi: {a: &id [1], b: *id}\n",
    )
    assert settings.classes == ("cat", "dog")
    assert (settings.task, settings.threshold) == ("classification", None)
    assert settings.preprocessing is not None
    assert settings.preprocessing.interpolation == "pillow-bicubic"
    assert settings.preprocessing.image_size == (224, 224)
    assert settings.preprocessing.crop_fraction == 224 / 256
    assert settings.preprocessing.mean == (0.485, 0.456, 0.406)


def test_thresholds_make_a_multi_label_bundle(tmp_path: Path) -> None:
    post = "MultiLabelThreshOutput"
    settings = _read(tmp_path, post=post, labels=f"threshold: 0.4, {LABELS}")
    assert (settings.task, settings.threshold) == ("multilabel", 0.4)
    assert _read(tmp_path, post=post).threshold == 0.5


def test_names_may_be_in_a_file_beside(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("no\nyes\n")
    assert _read(tmp_path, labels="label_list: names.txt").classes == ("no", "yes")
    for elsewhere in ("/etc/passwd", "../names.txt", "'..\\names.txt'"):
        with pytest.raises(WeightsError, match="it must be one beside"):
            _read(tmp_path, labels=f"label_list: {elsewhere}")
    with pytest.raises(WeightsError, match="cannot be read"):
        _read(tmp_path, labels="label_list: absent.txt")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"decode": "to_rgb: False"}, "an order other than RGB .to_rgb: False"),
        ({"decode": "img_mode: BGR"}, "an order other than RGB .img_mode: BGR"),
        ({"decode": "channel_first: True"}, "channels first"),
        ({"resize": "resize_long: 256"}, "'resize_long': did you mean resize_short"),
        ({"resize": "target_size: [8, 8]"}, "key of ResizeImage .*'target_size'"),
        ({"resize": f"{RESIZE}, keep_ratio: true"}, "keeps the aspect"),
        ({"resize": f"{RESIZE}, interpolation: lanczos"}, "cv2's lanczos interpolation"),
        ({"resize": f"{RESIZE}, backend: pil"}, "pil's default interpolation"),
        ({"resize": "size: 8"}, "CropImage needs resize_short"),
        ({"resize": "resize_short: 256", "crop": ""}, "no fixed size"),
        ({"resize": "resize_short: 0"}, "not a whole number"),
        ({"resize": "resize_short: 100"}, "crop_fraction is 2.24"),
        ({"resize": "resize_short: 1e400"}, "too large"),
        ({"crop": "size: [.inf, .inf]"}, "is not a number"),
        ({"crop": "size: 224, mode: random"}, "key of CropImage .*'mode'"),
        ({"normalize": f"{NORMALIZE}, order: chw"}, "normalises channels first"),
        ({"normalize": f"{NORMALIZE}, channel_num: 4"}, "a number of channels other than 3"),
        ({"normalize": f"{NORMALIZE}, is_scale: false"}, "does not scale pixels"),
        ({"normalize": f"{NORMALIZE}, scale: 1.0"}, "scales pixels by 1, not by 1/255"),
        ({"normalize": f"{NORMALIZE}, scale: 1/0"}, "divides by 0"),
        ({"normalize": "mean: [no, 1, 1], std: [1, 1, 1]"}, "'no' is not a number"),
        ({"normalize": "mean: [1], std: [1]"}, "mean is not three numbers"),
        ({"normalize": "mean: [1, 1, 1], std: [0, 1, 1]"}, "std above 0"),
        ({"post": "PersonAttribute"}, "unknown postprocessing"),
        ({"post": "MultiLabelThreshOutput", "labels": f"threshold: 2, {LABELS}"}, "threshold is 2"),
        ({"labels": f"class_id_map_file: x, {LABELS}"}, "key of Topk .*'class_id_map_file'"),
        ({"labels": "label_list: [[a], b]"}, "not a list of names"),
        ({"labels": "label_list: ['', b]"}, "an empty name"),
        ({"labels": "label_list: []"}, "is empty"),
        ({"labels": "label_list: null"}, "not a list of names"),
        ({"labels": 'label_list: "a\\0b"'}, "must be one beside inference.yml"),
        ({"more": "Global: {class_num: 3}"}, "class_num is 3, but there are 2"),
        ({"more": "Arch: {name: x}"}, "unknown section .*'Arch'"),
        ({"more": "PreProcess: {}"}, "the key 'PreProcess' twice"),
        ({"more": "a: " + "[" * 5000 + "]" * 5000}, "more than 16 deep|not YAML"),
        ({"more": "a: &a [*a]"}, "not there yet|not YAML"),
        ({"more": "? [1]\n: 2"}, "a list or a mapping as a key"),
        ({"more": "--- 2"}, "2 documents"),
        ({"more": "a: !!python/name:os.system x"}, "a value of the type"),
        ({"more": "#" * 2_000_000}, "more than 1,048,576 characters"),
        ({"labels": "label_list: [a, \x07]"}, "not YAML"),
    ],
)
def test_what_a_bundle_cannot_do_is_refused_by_name(
    tmp_path: Path, change: dict[str, str], complaint: str
) -> None:
    with pytest.raises((WeightsError, InputError), match=complaint):
        _read(tmp_path, **change)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("PreProcess: [", "not in PaddleX's form"),
        ("PreProcess: {}", "not a list of steps"),
        ("PreProcess: {transform_ops: [{PadImage: 3}]}", "unknown preprocessing step"),
    ],
)
def test_another_structure_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "inference.yml").write_text(text)
    with pytest.raises((WeightsError, InputError), match=complaint):
        read_inference_settings(tmp_path)


def test_steps_in_another_order_are_refused(tmp_path: Path) -> None:
    text = (
        "PreProcess: {transform_ops: [{NormalizeImage: {mean: [1, 1, 1], std: [1, 1, 1]}}, "
        "{ResizeImage: {size: 8}}]}\nPostProcess: {Topk: {label_list: [a, b]}}"
    )
    (tmp_path / "inference.yml").write_text(text)
    with pytest.raises(WeightsError, match="ResizeImage comes after NormalizeImage"):
        read_inference_settings(tmp_path)


def test_aliases_that_repeat_more_than_memory_holds_are_refused(tmp_path: Path) -> None:
    lines = ["  a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    few, many = "Hpi:\n" + "\n".join(lines[:5]) + "\n", "Hpi:\n" + "\n".join(lines) + "\n"
    assert _read(tmp_path, more=few).classes == ("cat", "dog")
    for labels in ("label_list: [a, b]", "label_list: *a39"):
        with pytest.raises(WeightsError, match=r"not there yet|what its aliases repeat"):
            _read(tmp_path, labels=labels, more=many)
