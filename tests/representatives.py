"""The networks of the catalog that stand for the others in tests of what is done with a network."""

from __future__ import annotations

import pytest

from pplcnet.models.catalog import CATALOG

NARROWEST = list(
    {(row.family, row.variant): name for name, row in reversed(CATALOG.items())}.values()
)
"""Of each family and variant: wider ones have the same layers."""

_FIRST = {CATALOG[name].family: name for name in NARROWEST}.values()

EACH_STRUCTURE = [
    name if name in _FIRST else pytest.param(name, marks=pytest.mark.slow) for name in NARROWEST
]
"""The same as parameters of a test. A family's variants differ in their tables, not in their kinds
of layers: one of each family is in the fast tests."""
