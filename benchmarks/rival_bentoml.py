"""A BentoML service that takes a photo."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
from rival_network import Network


@bentoml.service(workers=int(os.environ.get("CORES", "1")))
class Photos:
    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api
    def predict(self, photo: Path) -> dict[str, float]:
        return self.network.classify(photo.read_bytes())
