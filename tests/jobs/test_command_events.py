"""What is kept of the lines that a command wrote."""

from __future__ import annotations

import pytest

from pplcnet.jobs.command_events import LINES_KEPT, LastLines


@pytest.mark.parametrize(
    ("written", "from_error", "complaint"),
    [
        ([], [], ""),
        (["loading", "killed"], ["loading", "killed"], "killed"),
        (["a", "error: no photos", "more"], ["error: no photos", "more"], "no photos"),
        (["error: first", "error: second"], ["error: second"], "second"),
    ],
)
def test_the_last_error_message_is_told(
    written: list[str], from_error: list[str], complaint: str
) -> None:
    lines = LastLines()
    for each in written:
        lines.add(each)
    assert (lines.from_error(), lines.complaint()) == (from_error, complaint)


def test_only_the_last_lines_are_kept() -> None:
    lines = LastLines()
    for number in range(2 * LINES_KEPT):
        lines.add(str(number))
    assert lines.lines == [str(number) for number in range(LINES_KEPT, 2 * LINES_KEPT)]
