"""Files that name the classes of masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pplcnet.data.layouts.mask_classes import MaskClasses, find_classes, read_classes
from pplcnet.errors import DatasetError


def _read(folder: Path, content: Any) -> MaskClasses:
    path = folder / "classes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_classes(path)


@pytest.mark.parametrize(
    ("content", "values", "colours"),
    [
        (["road", "sea"], None, None),
        ({"classes": ["road", "sea"]}, None, None),
        ({"0": "road", "1": "sea"}, None, None),
        ({"sea": 1, "road": 0}, None, None),
        ({"sea": 9, "road": 4}, (4, 9), None),
        ({"4": "road", "9": "sea"}, (4, 9), None),
        ({"road": "#0000ff", "sea": [1, 2, 3]}, None, (0xFF, 0x010203)),
        ({"classes": ["road", "sea"], "colours": ["#0000ff", "#010203"]}, None, (255, 0x010203)),
        ({"classes": ["road", "sea"], "values": {"sea": 9, "road": 4}}, (4, 9), None),
    ],
)
def test_ways_to_name_the_classes(tmp_path: Path, content: Any, values: Any, colours: Any) -> None:
    found = _read(tmp_path, content)
    assert (found.names, found.values, found.colours) == (("road", "sea"), values, colours)
    assert found.ignored is None


@pytest.mark.parametrize(
    ("ignore", "levels", "colours"),
    [(255, (255,), ()), ([7, "#ffffff"], (7,), (0xFFFFFF,)), (None, (), ()),
     ([1, 2, 3], (), (0x010203,))],
)  # fmt: skip
def test_what_is_ignored(tmp_path: Path, ignore: Any, levels: Any, colours: Any) -> None:
    content = {"classes": ["road", "sea"], "colors": ["#0000ff", "#000000"], "ignore": ignore}
    found = _read(tmp_path, content)
    assert (found.ignored, found.ignored_colours) == (levels, colours)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (3, "does not name the classes"),
        ({"classes": "road"}, "does not name the classes"),
        ({"a": "road"}, "does not name the classes"),
        (["road"], "1 class; 2 to 255 are allowed"),
        ([str(at) + "x" for at in range(256)], "256 classes; 2 to 255"),
        ({"classes": [str(at) for at in range(200_000)]}, "200000 classes; 2 to 255"),
        (["road", "road"], "road: named twice"),
        (["road", "Road"], "differ only in case"),
        ({"classes": ["road", "sea"], "colors": {"road": "#000000"}}, "colors has none for sea"),
        ({"classes": ["road", "sea"], "values": {"road": 1, "sea": 2, "x": 3}}, "values names x"),
        ({"classes": ["road", "sea"], "values": [1]}, "one for each of 2 classes"),
        ({"classes": ["road", "sea"], "values": [1, 1]}, "two classes have the same value"),
        ({"classes": ["road", "sea"], "values": [1, 70_000]}, "'70000', which is not a value"),
        ({"road": "#000000", "sea": "#00000"}, "which is not a colour"),
        ({"road": [0, 0, 256], "sea": [0, 0, 0]}, "which is not a colour"),
        ({"classes": ["road", "sea"], "ignore": "white"}, "ignore has 'white'"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(DatasetError, match=complaint):
        _read(tmp_path, content)


def test_a_label_map_of_cvat_gives_colours(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nsea:1,2,3::\n"
    )
    found = find_classes([tmp_path / "none", tmp_path])
    assert found is not None
    assert (found.names, found.colours) == (("background", "sea"), (0, 0x010203))
    (tmp_path / "labelmap.txt").write_text("background 0 0 0\n")
    with pytest.raises(DatasetError, match="line 1 is 'background 0 0 0'"):
        find_classes([tmp_path])


def test_two_files_have_to_agree(tmp_path: Path) -> None:
    _read(tmp_path, ["road", "sea"])
    (tmp_path / "classes.txt").write_text("road\nsea\n")
    assert find_classes([tmp_path]) is not None
    (tmp_path / "classes.txt").write_text("sea\nroad\n")
    with pytest.raises(DatasetError, match=r"classes.json and classes.txt name different classes"):
        find_classes([tmp_path])
    assert find_classes([tmp_path / "none"]) is None


def test_names_with_ids_in_a_text_file_are_values(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("7 road\n8 sea\n")
    found = find_classes([tmp_path])
    assert found is not None
    assert (found.names, found.values) == (("road", "sea"), (7, 8))
