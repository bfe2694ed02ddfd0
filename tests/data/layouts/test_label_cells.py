"""Cells that hold a name, several names, or no name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.tasks.multilabel.measures import marks_of
from tests.data.layouts.tables import open_table, refusal


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (["cat|dog", "cat", "dog"], "'cat|dog' contains '|', but labels are separated by semi"),
        (['"cat,dog"', "cat", "dog"], "contains ','"),
        (['"salt, coarse"', "pepper"], "use a column for each label instead"),
        (["scab/rust", "scab", "rust"], "'scab/rust' consists of other labels"),
        (["scab rust", "scab", "rust"], "'scab rust' consists of other labels"),
        (["\"['cat', 'dog']\"", "cat"], "looks like JSON or Python code"),
        (['"{""choices"":[""cat""]}"', "cat"], "looks like JSON or Python code"),
        (['"=""001"""', "cat;dog"], "is a spreadsheet formula; write only the text"),
        (["nan", "cat;dog"], "'nan' is what pandas or a spreadsheet writes for"),
        (["Unnamed: 3", "cat;dog"], "is what pandas calls a column without a name"),
        (["cat;Cat", "dog"], "'Cat' (line 2) and 'cat' (line 2) differ only in case"),
    ],
)
def test_several_labels_in_one_name_are_refused(
    folder: Path, labels: list[str], complaint: str
) -> None:
    rows = "".join(f"{number}.png,{text}\n" for number, text in enumerate(labels))
    assert complaint in refusal(folder, f"path,labels\n{rows}")


def test_a_semicolon_file_separates_labels_by_quoted_semicolons(folder: Path) -> None:
    dataset = open_table(folder, 'path;labels\n0.png;"black cat;dog"\n1.png;dog\n2.png;\n')
    assert dataset.classes == ("black cat", "dog")
    assert marks_of(dataset.images, len(dataset.classes)).tolist() == [[1, 1], [0, 1], [0, 0]]
    assert "has 3 cells" in refusal(folder, "path;labels\n0.png;cat;dog\n")


@pytest.mark.parametrize("separator", [";", "|", "/"])
def test_several_labels_in_a_column_for_one_are_refused(folder: Path, separator: str) -> None:
    content = f"path,label\n0.png,cat{separator}dog\n1.png,cat\n2.png,dog\n"
    if separator == "/":
        assert open_table(folder, content).classes == ("cat", "cat/dog", "dog")
    else:
        assert "call the column 'labels'" in refusal(folder, content)


def test_a_class_may_be_called_like_a_number_or_a_word_for_nothing(folder: Path) -> None:
    names = ("007", "1e5", "Infinity", "None", "no", "null")
    rows = "".join(f"{number}.png,{name}\n" for number, name in enumerate(names))
    dataset = open_table(folder, f"path,label\n{rows}")
    assert dataset.classes == names
    assert dataset.task == "classification"


@pytest.mark.parametrize("missing", ["nan", "NaN", "<NA>", "#N/A", "#REF!"])
def test_a_missing_value_is_no_class(folder: Path, missing: str) -> None:
    assert "missing value" in refusal(folder, f"path,label\n0.png,{missing}\n1.png,cat\n")
