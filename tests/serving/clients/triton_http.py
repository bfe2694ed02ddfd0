"""What tritonclient[http] makes of a server: python triton_http.py HOST:PORT MODEL PIXELS PHOTO...

PIXELS is a .npy file of prepared photos. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def main(address: str, model: str, pixels_file: str, *photos: str) -> None:
    client = triton.InferenceServerClient(address, network_timeout=60, connection_timeout=60)
    contents = [Path(each).read_bytes() for each in photos]
    as_bytes = triton.InferInput("image", [len(contents)], "BYTES")
    as_bytes.set_data_from_numpy(np.array(contents, dtype=object))
    prepared = np.load(pixels_file)
    pixels = {}
    for is_binary in (True, False):
        tensor = triton.InferInput("pixels", list(prepared.shape), "UINT8")
        tensor.set_data_from_numpy(prepared, binary_data=is_binary)
        pixels[is_binary] = tensor

    def infer(tensor: Any, outputs: Any = None, **more: Any) -> Any:
        return client.infer(model, [tensor], outputs=outputs, **more)

    def error_of(call: Any, *arguments: Any, **more: Any) -> list[str]:
        try:
            call(*arguments, **more)
        except InferenceServerException as error:
            return [error.status(), error.message()]
        return ["", ""]

    whole = infer(as_bytes, request_id="seven")
    in_json = infer(
        as_bytes,
        [
            triton.InferRequestedOutput(name, binary_data=False)
            for name in ("probabilities", "label")
        ],
    )
    best = triton.InferRequestedOutput("probabilities", class_count=2)
    missing = triton.InferInput("nothing", [1], "BYTES")
    missing.set_data_from_numpy(np.array([b"x"], dtype=object))
    broken = triton.InferInput("image", [1], "BYTES")
    broken.set_data_from_numpy(np.array([b"x"], dtype=object))
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(model),
        "id": whole.get_response()["id"],
        "probabilities": whole.as_numpy("probabilities").tolist(),
        "logits": whole.as_numpy("logits").tolist(),
        "label": [each.decode() for each in whole.as_numpy("label")],
        "json_probabilities": in_json.as_numpy("probabilities").tolist(),
        "json_label": in_json.as_numpy("label").tolist(),
        "pixels": [infer(pixels[each]).as_numpy("logits").tolist() for each in (True, False)],
        "version": infer(as_bytes, model_version="1").get_response()["model_version"],
        "classification": [
            [each.decode() for each in row] for row in infer(as_bytes, [best]).as_numpy(best.name())
        ],
        "errors": {
            "model": error_of(client.infer, "other", [as_bytes]),
            "version": error_of(infer, as_bytes, model_version="9"),
            "input": error_of(infer, missing),
            "photo": error_of(infer, broken),
            "compressed": error_of(infer, as_bytes, request_compression_algorithm="gzip"),
        },
        "statistics": client.get_inference_statistics(model)["model_stats"][0],
        "index": client.get_model_repository_index(),
    }
    client.unload_model(model)
    found["unloaded"] = client.is_model_ready(model)
    client.load_model(model)
    found["loaded"] = client.is_model_ready(model)
    found["errors"]["load"] = error_of(client.load_model, "other")
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
