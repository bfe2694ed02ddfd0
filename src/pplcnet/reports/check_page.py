"""The results of `pplcnet check` as one page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pplcnet.data.audit import contradict
from pplcnet.data.check import Check, Group
from pplcnet.pages import charts
from pplcnet.pages.page import render
from pplcnet.pages.pictures import thumbnails

__all__ = ["check_page"]

# Limits that keep the page small; the JSON has everything.
SHOWN_PROBLEMS = 200
SHOWN_GROUPS = 60
SHOWN_OF_GROUP = 8


def check_page(checked: Check) -> str:
    """The page, as HTML text.

    Raises:
        MissingDependencyError: Jinja2 or Matplotlib is not installed.
    """
    problems = checked.problems
    groups = sorted(checked.groups or (), key=_badness)[:SHOWN_GROUPS]
    pictures = thumbnails(image.path for group in groups for image in group[:SHOWN_OF_GROUP])
    counts = checked.counts()
    return render(
        "check.html",
        title=f"Check of {checked.place.name or checked.place}",
        root=str(checked.place),
        images=len(checked.dataset),
        readable=len(checked.audit.facts),
        classes=len(checked.dataset.classes),
        digest=checked.audit.digest,
        splits=checked.splits,
        counts=counts,
        most=max((sum(row.values()) for row in counts.values()), default=1) or 1,
        problems=problems[:SHOWN_PROBLEMS],
        problem_count=len(problems),
        kinds=Counter(problem.kind for problem in problems),
        notes=checked.notes,
        groups=[_shown(checked, group, pictures) for group in groups],
        group_count=None if checked.groups is None else len(checked.groups),
        histograms=_histograms(checked),
    )


def _badness(group: Group) -> tuple[bool, bool]:
    """A sort key: contradicting labels first, then groups in two splits."""
    return (
        not contradict(group),
        len({image.split for image in group}) == 1,
    )


def _shown(checked: Check, group: Group, pictures: Any) -> dict[str, Any]:
    has_one_label, has_one_split = _badness(group)
    return {
        "conflict": not has_one_label,
        "leak": not has_one_split,
        "more": max(0, len(group) - SHOWN_OF_GROUP),
        "photos": [
            {
                "picture": pictures.get(image.path),
                "name": checked.dataset.name_of(image),
                "label": image.annotation.to_text(checked.dataset.classes),
                "split": image.split,
            }
            for image in group[:SHOWN_OF_GROUP]
        ],
    }


def _histograms(checked: Check) -> list[Any]:
    sizes = checked.sizes()
    if not len(sizes.aspect):
        return []
    return [
        charts.histogram(
            title, axis, values, f"{title}: {values.min():.2f} to {values.max():.2f} {axis}"
        )
        for title, axis, values in (
            ("Short side", "pixels", sizes.short_side),
            ("Resolution", "megapixels", sizes.megapixels),
            ("Aspect ratio", "width / height", sizes.aspect),
        )
    ]
