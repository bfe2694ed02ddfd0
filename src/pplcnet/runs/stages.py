"""The stages that runs are made of: audit, train, export, calibrate."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pplcnet.bundle.bundle import Bundle
from pplcnet.data.audit import Audit
from pplcnet.data.dataset import Dataset
from pplcnet.data.image_facts import AUDIT_ALONE, Handover
from pplcnet.data.splits import Splits, draw_splits
from pplcnet.data.unlabelled import Unlabelled, audit_unlabelled
from pplcnet.errors import DatasetError
from pplcnet.metrics.calibration import describe_calibration
from pplcnet.recipe.recipe import Recipe
from pplcnet.runs.files import SKIPPED
from pplcnet.runs.folder import RunFolder
from pplcnet.runs.nodes import joined_nodes
from pplcnet.runs.starts import recorded_start
from pplcnet.system.files import write_csv
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import counted, listed
from pplcnet.tasks import find
from pplcnet.tasks.audit import audit
from pplcnet.training.image_cache import ImageCache
from pplcnet.training.nodes import Nodes
from pplcnet.training.search_sharing import Search

if TYPE_CHECKING:
    from pplcnet.training.train import TrainingResult

__all__ = [
    "AuditedImages", "RunContext", "audit_images", "calibrate_network", "export_network",
    "train_network",
]  # fmt: skip

NAMED_CLASSES = 20


@dataclass(frozen=True)
class AuditedImages:
    """The images of a run, as found when it started or resumed."""

    labelled: Audit
    unlabelled: Unlabelled | None = None
    """None if the recipe names no folder of unlabelled images."""

    @property
    def dataset(self) -> Dataset:
        """The labelled images, without faulty ones."""
        return self.labelled.without_faults() if self.labelled.faults else self.labelled.dataset

    @property
    def unlabelled_paths(self) -> Sequence[Path]:
        """The unlabelled images to learn from."""
        return self.unlabelled.images if self.unlabelled else ()

    @property
    def digest(self) -> str:
        """sha256 over all images and labels."""
        if self.unlabelled is None:
            return self.labelled.digest
        return sha256((self.labelled.digest + self.unlabelled.digest).encode()).hexdigest()

    @property
    def have_faults(self) -> bool:
        """Whether some images were left out."""
        return bool(self.labelled.faults or (self.unlabelled and self.unlabelled.broken))

    def draw_splits(self, recipe: Recipe) -> Splits:
        """The data set's own splits, or splits of the recipe's sizes, drawn with its seed."""
        return draw_splits(
            self.dataset,
            validation=recipe.validation,
            test=recipe.test,
            seed=recipe.seed,
            groups=self.labelled.copies,
        )

    def raise_changed(self) -> None:
        """DatasetError if images have changed since the audit."""
        self.labelled.raise_changed()
        if self.unlabelled is not None:
            self.unlabelled.raise_changed()

    def write_skipped(self, path: Path, gone: Sequence[str] = ()) -> None:
        """Write a CSV of the images that were left out; no file if there are none.

        Args:
            gone: paths of images that the run started with and that no longer exist.
        """
        rows = [
            [PurePosixPath(self.labelled.dataset.name_of(image)), fault.kind, fault.text]
            for fault in self.labelled.faults
            for image in fault.left_out
        ]
        broken = self.unlabelled.broken if self.unlabelled else ()
        rows += [
            [PurePosixPath(error.source), "unreadable", f"without a class; {error.reason}"]
            for error in broken
        ]
        rows += [[PurePosixPath(each), "gone", "missing or unreadable"] for each in gone]
        if rows:
            write_csv(path, ["path", "kind", "reason"], rows)


@dataclass(frozen=True)
class RunContext:
    """What every stage of a run needs."""

    folder: RunFolder
    recipe: Recipe
    """The recipe to train with: the given one, or the result of a search."""
    images: AuditedImages
    run: dict[str, Any]
    """The run.json."""
    watcher: Watcher
    before_training: Callable[[], object]
    """Called once before Keras is imported."""
    image_cache: ImageCache | None = None
    nodes: Nodes | None = None
    """The machines that train together; None for this machine alone."""
    search: Search | None = None


def audit_images(
    dataset: Dataset,
    *,
    unlabelled: str | None = None,
    skip_broken: bool,
    watcher: Watcher,
    listed_in: str = SKIPPED,
    handover: Handover = AUDIT_ALONE,
) -> AuditedImages:
    """Open every image; DatasetError for faulty ones, unless they are to be left out.

    Args:
        unlabelled: a folder of unlabelled images.
        listed_in: name of the file that will list what is left out.
        handover: receives every image that can be read.
    """
    found = audit(
        dataset,
        handover=handover,
        fingerprints=importlib.util.find_spec("imagehash") is not None,
        progress=lambda looks, total: watcher.watch(looks, total, "audit"),
    )
    _say_faults(found, skip_broken, watcher, listed_in)
    if unlabelled is None:
        return AuditedImages(found)
    return AuditedImages(
        found, _audit_unlabelled(unlabelled, found, skip_broken, watcher, handover)
    )


def _say_faults(found: Audit, skip_broken: bool, watcher: Watcher, listed_in: str) -> None:
    if not skip_broken:
        found.raise_faults()
    for note in found.notes:
        watcher.say(f"note: {note}")
    if found.faults:
        left_out = len({image.path for fault in found.faults for image in fault.left_out})
        if left_out:
            of_files = sum(bool(fault.left_out) for fault in found.faults)
            watcher.say(
                f"left out {counted(left_out, 'file')} for {counted(of_files, 'fault')} "
                f"({listed_in})"
            )
        mended = len({image.path for fault in found.faults for image, _ in fault.mended})
        if mended:
            watcher.say(
                f"faulty labels left out of {counted(mended, 'file')}: "
                f"{'; '.join(fault.text for fault in found.faults if fault.mended)}"
            )
        kept = set(found.without_faults().classes)
        gone = [repr(name) for name in found.dataset.classes if name not in kept]
        if gone:
            kind = counted(len(gone), find(found.dataset.task).noun).split(" ", 1)[1]
            watcher.say(f"{kind} left out: {listed(gone, NAMED_CLASSES)}")


def _audit_unlabelled(
    folder: str, labelled: Audit, skip_broken: bool, watcher: Watcher, handover: Handover
) -> Unlabelled:
    found = audit_unlabelled(
        Path(folder),
        labelled,
        handover=handover,
        progress=lambda looks, total: watcher.watch(looks, total, "audit unlabelled photos"),
    )
    if found.broken and not skip_broken:
        raise DatasetError(
            f"{folder}: {len(found.broken)} of its photos cannot be read; fix them, or "
            "leave them out with --skip-broken:",
            [str(error) for error in found.broken],
        )
    if not found.images:
        raise DatasetError(
            f"{folder}: no photos to learn from: {len(found.broken)} unreadable, "
            f"{counted(found.copies, 'copy', 'copies')} of labelled photos."
        )
    parts = f"{counted(len(found.images), 'unlabelled photo')} to learn from"
    if found.copies:
        parts += f"; {counted(found.copies, 'copy', 'copies')} of labelled photos left out"
    if found.broken:
        parts += f"; {len(found.broken)} unreadable ones left out ({SKIPPED})"
    watcher.say(parts)
    return found


# Keras and its backend take seconds to import, so only import them once the data are known good.


def train_network(
    context: RunContext,
    training: Dataset,
    validation: Dataset,
    *,
    out: Path,
    provenance: Mapping[str, Any],
) -> TrainingResult:
    """Train, and write `out`/model.bundle with the weights of the best epoch.

    Args:
        out: if it has a checkpoint, training continues from there.
        provenance: facts about the data for the manifest, besides their digest.
    """
    from pplcnet.training.train import train

    with joined_nodes(context, training) as group:
        trained = train(
            context.recipe,
            training,
            validation,
            out=out,
            resume=True,
            run_id=context.run.get("id"),
            start=recorded_start(context.run),
            provenance={
                "photos": context.run["photos"],
                "digest": context.images.labelled.digest,
                **provenance,
            },
            unlabelled=context.images.unlabelled_paths,
            image_cache=context.image_cache,
            report=context.watcher.say,
            busy=context.watcher.busy,
            before_saving=context.images.raise_changed,
            group=group,
        )
    context.images.raise_changed()
    context.watcher.say(
        f"best epoch {trained.best_epoch}, validation {find(training.task).measure.title} "
        f"{trained.validation_score:.3f}"
    )
    return trained


def export_network(context: RunContext, bundle: Path, validation: Dataset) -> Bundle:
    """Add the ONNX network to a bundle after comparing it with Keras on the validation images."""
    from pplcnet.exporting.export import export
    from pplcnet.exporting.parity import describe_parity

    with context.watcher.busy("exporting, and comparing with Keras"):
        exported = export(bundle, [image.path for image in validation.images])
    context.watcher.say(f"exported: {describe_parity(exported.variant('onnx')['parity'])}")
    return exported


def calibrate_network(
    context: RunContext, bundle: Bundle, validation: Dataset, training: Dataset | None = None
) -> Bundle:
    """Fit the calibration from network outputs to answers, if the task has one.

    Args:
        training: images that define what is typical of the training; None for a network used only
            inside the run.
    """
    task = find(validation.task)
    if task.calibrate is None:
        return bundle
    from pplcnet.exporting.calibrating import calibrate

    with context.watcher.busy("calibrating"):
        calibrated = calibrate(
            bundle,
            validation,
            training=[image.path for image in training.images] if training else (),
        )
    context.watcher.say(describe_calibration(calibrated.manifest.calibration))
    for name, value in calibrated.manifest.decoding.items():
        if isinstance(value, Mapping):  # one per class, such as thresholds
            context.watcher.say(f"{name} chosen for {counted(len(value), task.noun)}")
    context.images.raise_changed()
    return calibrated
