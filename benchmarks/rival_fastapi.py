"""FastAPI and ONNX Runtime. A plain `def` handler runs in a thread of FastAPI's pool."""

from __future__ import annotations

from fastapi import FastAPI, UploadFile
from rival_network import Network

app = FastAPI()
network = Network()


@app.post("/predict")
def predict(file: UploadFile) -> dict[str, float]:
    return network.classify(file.file.read())
