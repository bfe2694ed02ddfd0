"""LitServe: python rival_litserve.py PORT WORKERS.

LitServe inspects the annotation of `decode_request`, which therefore must not be postponed.
"""

import sys
from typing import Any

import litserve
from fastapi import Request
from rival_network import Network


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.network = Network()

    def decode_request(self, request: Request) -> bytes:
        content: bytes = request["request"].file.read()
        return content

    def predict(self, content: bytes) -> dict[str, float]:
        return self.network.classify(content)

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=int(sys.argv[2]))
    server.run(port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
