"""What tritonclient[grpc] makes of a server: python triton_grpc.py HOST:PORT MODEL PIXELS PHOTO...

PIXELS is a .npy file of prepared photos. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def main(address: str, model: str, pixels_file: str, *photos: str) -> None:
    client = triton.InferenceServerClient(address)
    contents = [Path(each).read_bytes() for each in photos]
    as_bytes = triton.InferInput("image", [len(contents)], "BYTES")
    as_bytes.set_data_from_numpy(np.array(contents, dtype=object))
    prepared = np.load(pixels_file)
    pixels = triton.InferInput("pixels", list(prepared.shape), "UINT8")
    pixels.set_data_from_numpy(prepared)

    def infer(tensor: Any, outputs: Any = None, **more: Any) -> Any:
        return client.infer(model, [tensor], outputs=outputs, **more)

    def error_of(call: Any, *arguments: Any, **more: Any) -> list[str]:
        try:
            call(*arguments, **more)
        except InferenceServerException as error:
            return [error.status().removeprefix("StatusCode."), error.message()]
        return ["", ""]

    whole = infer(as_bytes, request_id="seven", client_timeout=60)
    best = triton.InferRequestedOutput("probabilities", class_count=2)
    broken = triton.InferInput("image", [1], "BYTES")
    broken.set_data_from_numpy(np.array([b"x"], dtype=object))
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata(model, as_json=True),
        "id": whole.get_response().id,
        "version": whole.get_response().model_version,
        "probabilities": whole.as_numpy("probabilities").tolist(),
        "logits": whole.as_numpy("logits").tolist(),
        "label": [each.decode() for each in whole.as_numpy("label")],
        "pixels": infer(pixels).as_numpy("logits").tolist(),
        "classification": [
            [each.decode() for each in row] for row in infer(as_bytes, [best]).as_numpy(best.name())
        ],
        "errors": {
            "model": error_of(client.infer, "other", [as_bytes]),
            "version": error_of(infer, as_bytes, model_version="9"),
            "photo": error_of(infer, broken),
        },
        "statistics": client.get_inference_statistics(model, as_json=True)["model_stats"][0],
        "index": client.get_model_repository_index(as_json=True)["models"],
    }
    client.unload_model(model)
    found["unloaded"] = client.is_model_ready(model)
    client.load_model(model)
    found["loaded"] = client.is_model_ready(model)
    found["errors"]["load"] = error_of(client.load_model, "other")
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
