"""What tritonclient[http] makes of a server: python triton_http.py HOST:PORT MODEL PIXELS PHOTO...

PIXELS is a .npy file of prepared photos. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys

import tritonclient.http as triton
from triton_calls import Calls, error_of


def main(address: str, model: str, pixels_file: str, *photos: str) -> None:
    client = triton.InferenceServerClient(address, network_timeout=60, connection_timeout=60)
    calls = Calls(triton, client, model, photos)
    whole = calls.infer(calls.photos, request_id="seven")
    in_json = calls.infer(
        calls.photos,
        [
            triton.InferRequestedOutput(name, binary_data=False)
            for name in ("probabilities", "label")
        ],
    )
    pixels = [calls.pixels(pixels_file, binary_data=is_binary) for is_binary in (True, False)]
    found = {
        **calls.facts(whole),
        "id": whole.get_response()["id"],
        "version": calls.infer(calls.photos, model_version="1").get_response()["model_version"],
        "json_probabilities": in_json.as_numpy("probabilities").tolist(),
        "json_label": in_json.as_numpy("label").tolist(),
        "pixels": [calls.infer(each).as_numpy("logits").tolist() for each in pixels],
        "index": client.get_model_repository_index(),
    }
    found["errors"] |= {
        "input": error_of(calls.infer, calls.texts("nothing", [b"x"])),
        "compressed": error_of(calls.infer, calls.photos, request_compression_algorithm="gzip"),
    }
    calls.reload(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
