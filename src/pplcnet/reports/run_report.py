"""The report at the end of a training run."""

from __future__ import annotations

from pathlib import Path

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.audit import Audit
from pplcnet.data.splits import Splits
from pplcnet.errors import PPLCNetError
from pplcnet.pages.scored import EvaluatedPredictions
from pplcnet.reports.report import bundle_report
from pplcnet.reports.report_data import Subject
from pplcnet.system.files import write_text
from pplcnet.system.progress import Watcher

__all__ = ["write_run_report"]

REPORT = "report.html"


def write_run_report(
    bundle: Bundle,
    splits: Splits,
    split: str,
    evaluated: EvaluatedPredictions,
    checked: Audit,
    watcher: Watcher,
) -> Path | None:
    """Write `report.html` beside the bundle, from what the run knows already.

    A run is whole without a report: a library of the extra that is missing is said, and None is
    returned.
    """
    held_out = splits.validation
    subject = Subject(
        bundle,
        split,
        reported=splits.test if split == "test" else held_out,
        train=splits.train,
        validation=held_out if split == "test" else held_out.keep(()),
        source="split.csv",
    )
    fingerprints = {
        path: facts.fingerprint
        for path, facts in checked.facts.items()
        if facts.fingerprint is not None
    }
    try:
        page = bundle_report(
            subject,
            evaluated=evaluated,
            fingerprints=fingerprints,
            is_every_variant_measured=False,
            watcher=watcher,
        )
        return write_text(subject.folder / REPORT, page)
    except (PPLCNetError, OSError) as error:
        watcher.say(f"no {REPORT}: {error}")
        return None
