"""The names of the outputs in a network's file."""

from __future__ import annotations

from collections.abc import Sequence

from pplcnet.errors import BundleError

__all__ = ["output_names"]


def output_names(
    in_file: Sequence[str], wanted: Sequence[str] | None, *, is_ordered: bool = False
) -> list[str]:
    """The name of every output, in the file's order.

    Args:
        in_file: their names in the file.
        wanted: the names in the bundle's manifest; None for those in the file.
        is_ordered: the file has the outputs in the manifest's order, whatever their names.

    Raises:
        BundleError: the file's outputs differ from the manifest's.
    """
    if wanted is None or set(wanted) == set(in_file):
        return list(in_file)
    if len(wanted) == len(in_file) and (is_ordered or len(wanted) == 1):
        return list(wanted)
    raise BundleError(
        f"this network has the outputs {', '.join(in_file)}; its manifest says {', '.join(wanted)}."
    )
