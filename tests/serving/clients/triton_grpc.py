"""What tritonclient[grpc] makes of a server: python triton_grpc.py HOST:PORT MODEL PIXELS PHOTO...

PIXELS is a .npy file of prepared photos. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys

import tritonclient.grpc as triton
from triton_calls import Calls


def main(address: str, model: str, pixels_file: str, *photos: str) -> None:
    client = triton.InferenceServerClient(address)
    calls = Calls(triton, client, model, photos)
    whole = calls.infer(calls.photos, request_id="seven", client_timeout=60)
    found = {
        **calls.facts(whole, as_json=True),
        "id": whole.get_response().id,
        "version": whole.get_response().model_version,
        "pixels": [calls.infer(calls.pixels(pixels_file)).as_numpy("logits").tolist()],
        "index": client.get_model_repository_index(as_json=True)["models"],
    }
    calls.reload(found)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
