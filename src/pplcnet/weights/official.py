"""Official weights by name in place of a bundle: downloaded, converted and exported once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from pplcnet.errors import ImageError, require
from pplcnet.imaging.decoding import decode
from pplcnet.system.cache import cache_folder
from pplcnet.system.locking import locked
from pplcnet.weights.fetching import fetch
from pplcnet.weights.sources import find_source, official_name

__all__ = ["official_bundle"]

# Seconds that another process may take to convert the same network.
LOCK_WAIT_S = 600.0


def official_bundle(
    text: str,
    images: Sequence[str | PathLike[str]],
    *,
    before_conversion: Callable[[], object] = lambda: None,
) -> Path:
    """The bundle for a name that `official_name` parses, cached after the first time.

    Args:
        images: photos on which the exported network is compared with Keras, the first time.
        before_conversion: called before Keras is imported.

    Raises:
        WeightsError: the weights cannot be fetched or read.
        MissingDependencyError: the first time needs the train extra; later the runtime is enough.
    """
    name, tag = official_name(text) or (text, "imagenet")
    source = find_source(name, tag)
    bundle = cache_folder() / "bundles" / f"{name}-{source.tag}.bundle"
    if bundle.is_dir():
        return bundle
    if importlib.util.find_spec("keras") is None:  # report it before the download
        require("keras", purpose="converting official weights", extra="train")
    file = fetch(source)
    before_conversion()
    from pplcnet.exporting.export import export
    from pplcnet.weights.conversion import convert

    bundle.parent.mkdir(parents=True, exist_ok=True)
    with locked(bundle, is_file=True, wait=LOCK_WAIT_S):
        if not bundle.is_dir():  # another process may have been faster
            staged = bundle.with_name(f".{bundle.name}.converting")
            provenance = {"source": source.address, "licence": source.licence}
            usable = _usable(images)
            # overwrite: a conversion that was killed may have left something there.
            convert(
                file,
                staged,
                network=name,
                preprocessing={"image_size": (source.side, source.side)},
                provenance=provenance,
                overwrite=True,
            )
            export(staged, usable)
            staged.rename(bundle)
    return bundle


def _usable(images: Sequence[str | PathLike[str]]) -> list[str | PathLike[str]]:
    """The images that can be decoded; if none can, raises the first ImageError."""
    usable: list[str | PathLike[str]] = []
    problem: ImageError | None = None
    for image in images:
        try:
            decode(image)
            usable.append(image)
        except ImageError as error:
            problem = problem or error
    if not usable and problem is not None:
        raise problem
    return usable
