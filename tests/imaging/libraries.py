"""Libraries that make prediction faster, as if they were not installed."""

from __future__ import annotations

from types import ModuleType

import pytest

from pplcnet.imaging import acceleration, opencv_resizing


def without_libraries(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Decoding and resizing do not find the modules of these names."""
    real = acceleration.optional_module

    def absent(name: str) -> ModuleType | None:
        return None if name in names else real(name)

    monkeypatch.setattr(acceleration, "optional_module", absent)
    monkeypatch.setattr(opencv_resizing, "optional_module", absent)
