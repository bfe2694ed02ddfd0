"""Networks that are too weak name no suspects."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import InputError
from pplcnet.runs.files import SUSPECT_LIST
from pplcnet.runs.suspect_list import SuspectList, check_strength
from pplcnet.tasks.baseline import Guess


def test_weak_networks_name_no_suspects(tmp_path: Path) -> None:
    (tmp_path / SUSPECT_LIST).write_text("an older list")
    with pytest.raises(InputError, match=r"accuracy 45%.*folds: 50%, 40%.*'a' gets 40%"):
        check_strength(tmp_path, [0.5, 0.4], Guess("a", 0.4))
    assert not (tmp_path / SUSPECT_LIST).exists()
    check_strength(tmp_path, [0.9, 0.8], Guess("a", 0.4))


@pytest.mark.parametrize(("accuracy", "lines"), [(0.95, 1), (0.75, 2)])
def test_the_folds_accuracy_is_shown_with_a_warning_where_it_is_low(
    tmp_path: Path, accuracy: float, lines: int
) -> None:
    found = SuspectList((), 10, tmp_path, (accuracy, accuracy), Guess("a", 0.4))
    said = found.accuracies()
    assert len(said) == lines
    assert f"{accuracy:.0%}" in said[0]
