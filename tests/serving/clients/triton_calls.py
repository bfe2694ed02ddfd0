"""What tritonclient is asked for over HTTP and gRPC alike; its two modules have the same names."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tritonclient.utils import InferenceServerException


class Calls:
    """Calls of one client about one model."""

    def __init__(
        self, triton: ModuleType, client: Any, model: str, photos: tuple[str, ...]
    ) -> None:
        self._triton, self._client, self._model = triton, client, model
        self.photos = self.texts("image", [Path(each).read_bytes() for each in photos])

    def texts(self, name: str, contents: list[bytes]) -> Any:
        """A BYTES tensor."""
        tensor = self._triton.InferInput(name, [len(contents)], "BYTES")
        tensor.set_data_from_numpy(np.array(contents, dtype=object))
        return tensor

    def pixels(self, file: str, **form: bool) -> Any:
        """A UINT8 tensor of prepared photos from a .npy file."""
        prepared = np.load(file)
        tensor = self._triton.InferInput("pixels", list(prepared.shape), "UINT8")
        tensor.set_data_from_numpy(prepared, **form)
        return tensor

    def infer(self, tensor: Any, outputs: Any = None, **more: Any) -> Any:
        """The answer of the model."""
        return self._client.infer(self._model, [tensor], outputs=outputs, **more)

    def facts(self, whole: Any, **form: bool) -> dict[str, Any]:
        """States, descriptions, errors, and what is in an answer to `photos`.

        Args:
            form: as_json=True over gRPC, whose answers are messages.
        """
        client, model = self._client, self._model
        best = self._triton.InferRequestedOutput("probabilities", class_count=2)
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": client.is_model_ready(model),
            "other_ready": client.is_model_ready("other"),
            "server": client.get_server_metadata(**form),
            "model": client.get_model_metadata(model, **form),
            "probabilities": whole.as_numpy("probabilities").tolist(),
            "logits": whole.as_numpy("logits").tolist(),
            "label": [each.decode() for each in whole.as_numpy("label")],
            "classification": [
                [each.decode() for each in row]
                for row in self.infer(self.photos, [best]).as_numpy(best.name())
            ],
            "errors": {
                "model": error_of(client.infer, "other", [self.photos]),
                "version": error_of(self.infer, self.photos, model_version="9"),
                "photo": error_of(self.infer, self.texts("image", [b"x"])),
            },
            "statistics": client.get_inference_statistics(model, **form)["model_stats"][0],
        }

    def reload(self, found: dict[str, Any]) -> None:
        """Unload and load the model, and say in `found` what became of it."""
        client, model = self._client, self._model
        client.unload_model(model)
        found["unloaded"] = client.is_model_ready(model)
        client.load_model(model)
        found["loaded"] = client.is_model_ready(model)
        found["errors"]["load"] = error_of(client.load_model, "other")


def error_of(call: Any, *arguments: Any, **more: Any) -> list[str]:
    """The status and the message of a call that fails; empty ones where it does not."""
    try:
        call(*arguments, **more)
    except InferenceServerException as error:
        return [error.status().removeprefix("StatusCode."), error.message()]
    return ["", ""]
