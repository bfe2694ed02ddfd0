"""Files that a data set lists more than once."""

from __future__ import annotations

from dataclasses import replace

from pplcnet.data.dataset import Dataset, LabelledImage
from pplcnet.data.image_files import same_file_key
from pplcnet.system.wording import counted

__all__ = ["without_repeats"]


def without_repeats(dataset: Dataset) -> Dataset:
    """Each file once for each annotation and split that it is given, however its path is spelled.

    A file that then is still there twice contradicts itself; the audit reports it.
    """
    keys = [same_file_key(image.path) for image in dataset.images]
    if len(set(keys)) == len(keys):
        return dataset
    kept: dict[object, LabelledImage] = {}
    for key, image in zip(keys, dataset.images, strict=True):
        kept.setdefault((key, image.annotation, image.split), image)
    repeats = len(dataset) - len(kept)
    if not repeats:
        return dataset
    note = (
        f"{counted(repeats, 'entry', 'entries')} repeat{'s' * (repeats == 1)} a file that is "
        "listed before with the same label; each file counts once."
    )
    return replace(dataset, images=tuple(kept.values()), notes=(*dataset.notes, note))
