"""Writes an evaluation to files: JSON, CSV, Markdown and a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from pplcnet.errors import MissingDependencyError
from pplcnet.system.files import write_csv, write_text
from pplcnet.system.wording import abbreviated, json_text, printable
from pplcnet.tasks.task import Evaluation

__all__ = ["Source", "describe", "evaluation_facts", "warning_of", "write_evaluation"]

SHOWN_MISTAKES = 20


class Source(NamedTuple):
    """The source of an evaluation."""

    split: str
    """"train", "validation", "test" or "all"."""
    photos: str
    """The data set's folder or file, an absolute path."""
    looked: str = ""
    """How the photos were processed: "tiles 640x640"; "" for once as a whole."""

    def text(self) -> str:
        """The source in words, with the whole path."""
        how = f", {self.looked}" if self.looked else ""
        return f"{self.part} of {printable(self.photos)}{how}"

    def title(self) -> str:
        """The source in words, with the last part of the path, shortened."""
        return f"{self.part} of {abbreviated(printable(PurePath(self.photos).name))}"

    @property
    def part(self) -> str:
        """The split in words."""
        return "all photos" if self.split == "all" else f"the {self.split} split"


def evaluation_facts(evaluation: Evaluation, source: Source) -> dict[str, Any]:
    """The content of evaluation.json: what was evaluated, then the figures."""
    values = source._asdict()
    if not source.looked:
        del values["looked"]
    return {**values, **evaluation.to_dict()}


def warning_of(evaluation: Evaluation) -> str:
    """A warning if the figures are no better than guessing, else ""."""
    problem = evaluation.weakness()
    return f"{problem}: the network has learned little or nothing" if problem else ""


def describe(evaluation: Evaluation, mistakes: int = 5) -> str:
    """The figures as text for a terminal, with the worst mistakes, after a warning if any."""
    warning = warning_of(evaluation)
    figures = evaluation.to_text(mistakes)
    return f"warning: {printable(warning)}\n{figures}" if warning else figures


def write_evaluation(
    evaluation: Evaluation,
    folder: Path,
    source: Source,
    *,
    facts: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write the evaluation as JSON, CSV, Markdown and a PNG; returns the files.

    Without Matplotlib, only the PNG is left out.

    Args:
        facts: the content of evaluation.json, if it is more than `evaluation_facts`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ["evaluation.md", "evaluation.json"]
    text = json_text(facts or evaluation_facts(evaluation, source), indent=2)
    write_text(folder / "evaluation.json", text + "\n")
    for table in evaluation.tables():
        write_csv(folder / table.name, table.header, table.rows, decimals=4)
        names.append(table.name)
    figures = describe(evaluation, SHOWN_MISTAKES)
    page = f"# Evaluation\n\nOn {source.text()}.\n\n```\n{figures}\n```\n"
    plot = evaluation.plot
    try:
        evaluation.draw(folder / plot.name, source.title())
    except MissingDependencyError:
        # Remove the PNG of an earlier evaluation, which would show other figures.
        (folder / plot.name).unlink(missing_ok=True)
    else:
        page += f"\n![{plot.title}]({plot.name})\n"
        names.append(plot.name)
    write_text(folder / "evaluation.md", page)
    return [folder / name for name in names]
