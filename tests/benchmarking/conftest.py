"""What several tests of benchmarks use."""

from __future__ import annotations

import pytest

from pplcnet.benchmarking import limits


@pytest.fixture
def quick_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast this machine is, is not tested: small products and copies for a moment."""
    monkeypatch.setattr(limits, "SIDE", 64)
    monkeypatch.setattr(limits, "COPY_BYTES", 1 << 16)
    monkeypatch.setattr(limits, "MEASURED_S", 0.02)
