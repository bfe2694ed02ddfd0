"""A few photos of a source, to look at before there is a job."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pplcnet.data.image_files import PassedOver
from pplcnet.jobs.photos import Photos, shown_name
from pplcnet.jobs.source import Source, list_names
from pplcnet.jobs.tars import photos_in_tar

__all__ = ["write_samples"]

MOST_NAMES = 1000
"""Names to try if photos are missing."""


def write_samples(source: Source, folder: Path, count: int) -> list[Path]:
    """Write the first `count` readable photos to files in a folder; returns their paths."""
    paths = []
    for number, content in enumerate(islice(_contents(source), count)):
        paths.append(folder / str(number))
        paths[-1].write_bytes(content)
    return paths


def _contents(source: Source) -> Iterator[bytes]:
    photos = Photos(source.root)
    for name in islice(list_names(source, PassedOver()), MOST_NAMES):
        if source.is_of_tars:
            with photos.open(name) as file:
                for _, content in photos_in_tar(file, shown_name(name)):
                    if isinstance(content, bytes):
                        yield content
        elif isinstance(content := photos.read(name), bytes):
            yield content
