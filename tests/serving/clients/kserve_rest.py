"""What kserve's REST client makes of a server: python kserve_rest.py URL MODEL PHOTO...

Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def ask(url: str, model: str, contents: list[bytes]) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    binary = InferInput("image", [len(contents)], "BYTES")
    binary.set_data_from_numpy(np.array(contents, dtype=object), binary_data=True)
    text = InferInput("image", [len(contents)], "BYTES")
    encoded = [base64.b64encode(each) for each in contents]
    text.set_data_from_numpy(np.array(encoded, dtype=object), binary_data=False)
    found: dict[str, Any] = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model_ready": await client.is_model_ready(url, model),
    }
    for name, tensor in (("binary", binary), ("json", text)):
        for is_binary in (True, False):
            outputs = [
                RequestedOutput(each, {"binary_data": is_binary})
                for each in ("probabilities", "label")
            ]
            request = InferRequest(
                model_name=model, infer_inputs=[tensor], request_outputs=outputs, request_id="7"
            )
            answer = await client.infer(url, request, model_name=model)
            values, labels = (each.as_numpy() for each in answer.outputs)
            found[f"{name} {is_binary}"] = {
                "id": answer.id,
                "probabilities": values.tolist(),
                "label": [
                    each.decode() if isinstance(each, bytes) else each for each in labels.tolist()
                ],
            }
    await client.close()
    return found


def main(url: str, model: str, *photos: str) -> None:
    contents = [Path(each).read_bytes() for each in photos]
    print(json.dumps(asyncio.run(ask(url, model, contents))))


if __name__ == "__main__":
    main(*sys.argv[1:])
