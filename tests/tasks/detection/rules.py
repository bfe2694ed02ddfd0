"""What detection adds to an audit."""

from __future__ import annotations

from types import SimpleNamespace

from pplcnet.tasks.detection.audit import faults, notes

RULES = SimpleNamespace(noun="class", faults=faults, notes=notes)
