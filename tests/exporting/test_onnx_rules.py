"""A rule for every layer of the catalog; a layer without one, or used otherwise, is an error."""

from __future__ import annotations

import keras
import pytest

from pplcnet.errors import ConversionError
from tests.exporting.networks import translate


def _sequential(*layers: keras.layers.Layer) -> keras.Model:
    features = inputs = keras.Input((8, 8, 3))
    for layer in layers:
        features = layer(features)
    return keras.Model(inputs, features)


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        ([keras.layers.Conv2D(2, 1), keras.layers.Softmax(name="odd")], "'odd' is a Softmax"),
        ([keras.layers.Conv2D(2, 1, activation="gelu", name="odd")], "'odd' uses .*'gelu'"),
        ([keras.layers.BatchNormalization(name="bn")], "'bn' does not directly follow"),
        ([keras.layers.ZeroPadding2D(1)], "'logits' cannot follow padding"),
    ],
)
def test_what_the_exporter_does_not_know_is_named(layers: list, complaint: str) -> None:
    with pytest.raises(ConversionError, match=complaint):
        translate(_sequential(*layers))
