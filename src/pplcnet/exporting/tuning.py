"""tune: measures every way of running a bundle on this machine, and selects the best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from os import PathLike
from typing import NamedTuple

from pplcnet.bundle.bundle import Bundle
from pplcnet.bundle.manifest import today
from pplcnet.bundle.writing import update_bundle
from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.errors import InputError
from pplcnet.exporting.images import (
    VALIDATION_LIMIT,
    check_max_drop,
    evenly_chosen,
    match_validation,
)
from pplcnet.exporting.int8_trial import Trial
from pplcnet.exporting.reference import Reference
from pplcnet.exporting.timing import prepare, run_in_parts
from pplcnet.exporting.tuning_table import Networks, Row, measure_rows
from pplcnet.runtime.engines.engine import Engine, installed_engines
from pplcnet.runtime.selection import DEFAULT, choices_of
from pplcnet.system.processor import processor_features, processor_name
from pplcnet.system.wording import counted
from pplcnet.tasks import find

__all__ = ["Resizing", "Tuning", "tune"]

MIN_AGREEMENT = 0.995


class Resizing(NamedTuple):
    """How the resize policy "fast" changes the answers."""

    agreement: float
    """The fraction of images with the same answer."""
    exact_accuracy: float
    """The task's measure: top-1, mAP, ..."""
    fast_accuracy: float

    def is_harmless(self, max_drop: float) -> bool:
        """Whether it may be enabled."""
        drop = self.exact_accuracy - self.fast_accuracy
        return self.agreement >= MIN_AGREEMENT and drop <= max_drop


class Tuning(NamedTuple):
    """The result of `tune`."""

    bundle: Bundle
    rows: list[Row]
    """The best first; rows that may not be used come last."""
    resizing: Resizing | None
    """None unless requested."""
    is_fast_resize: bool
    """Whether the bundle now uses the resize policy "fast" on this processor."""


def tune(
    bundle: str | PathLike[str] | Bundle,
    validation: Dataset,
    *,
    max_drop: float | None = None,
    fast_resize: bool = False,
    trials: Sequence[Trial] = (),
    report: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Measure engine x precision x threads on this machine and write the table into the bundle.

    From then on, `Classifier` uses the best one on this kind of processor.

    Args:
        bundle: an exported bundle folder; replaced as a whole at the end.
        validation: labelled photos, of which at most 2000, evenly sampled, are used.
        max_drop: as for `quantize`.
        fast_resize: enable the resize policy "fast" on this processor if its answers agree (0.995
            or more, and a drop of at most `max_drop`), else disable it.
        trials: the quantisation schemes that `quantize_fastest` timed, to be kept with the table;
            without any, those of the last tuning on this processor are kept.
        report: called with lines about the progress.

    Raises:
        InputError: a `max_drop` outside 0 to 1, a network that takes several images at once, or
            validation photos of other classes.
        BundleError: no exported network.
    """
    check_max_drop(max_drop)
    with Bundle.open_to_change(bundle) as opened:
        allowed = find(opened.manifest.task).max_drop if max_drop is None else max_drop
        return _tuned(opened, validation, allowed, fast_resize, trials, report)


def _tuned(
    bundle: Bundle,
    validation: Dataset,
    max_drop: float,
    fast_resize: bool,
    trials: Sequence[Trial],
    report: Callable[[str], None],
) -> Tuning:
    _check_batch(bundle)
    manifest = bundle.manifest
    chosen = evenly_chosen(match_validation(bundle, validation).images, VALIDATION_LIMIT)
    exact = replace(manifest.preprocessing, policy="exact")
    networks = Networks.of(bundle)
    default = networks.open(DEFAULT, threads=1)
    reference = Reference.of(manifest, exact, chosen, default)

    resizing = _compare_resizing(bundle, default, chosen, reference) if fast_resize else None
    is_fast = resizing is not None and resizing.is_harmless(max_drop)
    choices = choices_of(bundle, installed_engines(), processor_features())
    rows = measure_rows(networks, choices, reference, max_drop, report)
    before = manifest.tuning.get(processor_name(), {}).get("int8_ways", [])
    facts = {
        "tuned": today(),
        "validation_images": len(chosen),
        "max_drop": max_drop,
        "versions": _versions(),
        **({"fast_resize": resizing._asdict()} if resizing else {}),
        "policy": "fast" if is_fast else "exact",
        "ranking": [
            {**row.choice._asdict(), "threads": row.threads} for row in rows if not row.verdict
        ],
        "rows": [row.to_dict() for row in rows],
        "int8_ways": [trial._asdict() for trial in trials] or before,
    }
    written = update_bundle(
        bundle,
        tuning={**manifest.tuning, processor_name(): facts},
        # The policy belongs to a processor's tuning; earlier bundles had it here.
        preprocessing=exact,
    )
    return Tuning(written, rows, resizing, is_fast)


def _check_batch(bundle: Bundle) -> None:
    batch = bundle.variant(DEFAULT.variant).get("batch")  # raises with advice if it is missing
    if batch not in (1, None):
        raise InputError(
            f"{bundle.path}: its network takes {counted(batch, 'image')} at once; 'pplcnet export "
            f"{bundle.path}' makes one for single images, which can be tuned."
        )


def _compare_resizing(
    bundle: Bundle, engine: Engine, labelled: Sequence[LabelledImage], reference: Reference
) -> Resizing:
    preprocessing = replace(bundle.manifest.preprocessing, policy="fast")
    images = prepare(preprocessing, [each.path for each in labelled])
    fast = reference.judge.judged(run_in_parts(engine, images))
    return Resizing(
        agreement=fast.agreement(reference.judged),
        exact_accuracy=reference.judged.value,
        fast_accuracy=fast.value,
    )


def _versions() -> dict[str, str]:
    names = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}
    return {name: metadata.version(names[name]) for name in installed_engines()} | {
        "pplcnet": metadata.version("pplcnet")
    }
