"""Every official source has an address and a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pplcnet.errors import UnknownNameError, WeightsError
from pplcnet.models.catalog import CATALOG
from pplcnet.weights.fetching import weights_path
from pplcnet.weights.sources import Source, find_source, sources_of


def test_every_network_has_a_source_of_its_own() -> None:
    sources = [source for name in CATALOG for source in sources_of(name).values()]
    assert len({source.file_name for source in sources}) == len(sources)
    assert len({source.address for source in sources}) == len(sources)
    assert all(isinstance(source, Source) and source.licence for source in sources)
    assert len(sources_of("pplcnet_x1_0")) == 3


def test_unknown_kinds_of_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean imagenet"):
        find_source("pplcnet_x1_0", "imagnet")
    with pytest.raises(WeightsError, match="there are imagenet"):
        find_source("ghostnet_x0_5", "timm")
    with pytest.raises(WeightsError, match="not one of imagenet"):
        weights_path("pplcnet_x1_0", tmp_path / "absent.npz")
