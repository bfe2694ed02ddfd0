"""The state of the walk through a Keras graph while it is written as ONNX."""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import ConversionError
from pplcnet.exporting.onnx_graph import OnnxGraph
from pplcnet.imaging.preprocessing import Preprocessing

__all__ = ["Walk", "inputs_of"]


class Walk:
    """The ONNX graph so far, and which of its tensors holds which Keras tensor.

    Keras tensors are keyed by identity; ONNX has channels first.
    """

    def __init__(self, model: keras.Model, preprocessing: Preprocessing) -> None:
        self.graph = OnnxGraph()
        self.model = model
        self.preprocessing = preprocessing
        self.names: dict[int, str] = {}
        """Keras tensor to the name of the ONNX tensor that holds it."""
        self.pads: dict[int, tuple[int, int, int, int]] = {}
        """Padding (top, left, bottom, right) of Keras tensors, for the following convolution."""
        self.scales: dict[int, float | NDArray[np.float32]] = {}
        """Factors of Keras tensors, which the following layer folds into its kernel."""
        self._consumers: dict[int, list[keras.layers.Layer]] = {}
        for layer in model.layers:
            if not isinstance(layer, keras.layers.InputLayer):
                for tensor in inputs_of(layer):
                    self._consumers.setdefault(id(tensor), []).append(layer)

    def is_written(self, layer: keras.layers.Layer) -> bool:
        """Whether the layer's output exists already, such as that of a folded BatchNorm."""
        return id(layer.output) in self.names or id(layer.output) in self.pads

    def input_name(self, layer: keras.layers.Layer, at: int = 0) -> str:
        """The ONNX tensor of a layer's input; ConversionError if it has padding or a factor."""
        return self.name_of(inputs_of(layer)[at], f"the layer {layer.name!r}")

    def name_of(self, tensor: keras.KerasTensor, user: str) -> str:
        """The ONNX tensor that holds a Keras tensor.

        Raises:
            ConversionError: it has padding or a factor, which `user` cannot absorb.
        """
        if id(tensor) in self.pads or id(tensor) in self.scales:
            raise ConversionError(f"{user} cannot follow padding or scaling.")
        return self.names[id(tensor)]

    def only_consumer(self, tensor: keras.KerasTensor) -> keras.layers.Layer | None:
        """The only layer that takes a tensor; None if several do or it is a model output."""
        consumers = self._consumers.get(id(tensor), [])
        is_output = any(tensor is output for output in self.model.outputs)
        return consumers[0] if len(consumers) == 1 and not is_output else None


def inputs_of(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    """The tensors that a layer takes."""
    return list(layer.input) if isinstance(layer.input, list | tuple) else [layer.input]
