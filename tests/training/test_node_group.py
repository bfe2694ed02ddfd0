"""Two processes that train one network: what they tell each other, and what they learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import InputError
from pplcnet.system.progress import no_sign
from pplcnet.training.group import Alone
from pplcnet.training.node_group import joined
from pplcnet.training.nodes import Nodes
from tests.training.node_programs import ends, free_addresses, start
from tests.training.two_nodes import learn_the_same

STATISTICS = {"3", "4"}
"""BatchNorm's moving mean and variance, after the kernel, its scale and shift."""


def test_two_nodes_learn_as_one_process_does_and_agree_on_everything(tmp_path: Path) -> None:
    addresses = free_addresses()
    nodes = [start("tests.training.two_nodes", tmp_path, addresses, node) for node in range(2)]
    learn_the_same(Alone(), tmp_path / "same.npz")
    for node, (code, text) in enumerate(ends(nodes)):
        assert code == 0, text
        assert f"node {node} ({addresses.split(',')[node]}) of 2" in text
        assert "has no authentication" in text
        other = addresses.split(",")[1]
        assert f"the nodes do not train the same thing: node 1 ({other}) has other recipe" in text

    names = ("same", "same0", "same1", "apart0", "apart1", "mean0", "mean1")
    same, same0, same1, apart0, apart1, mean0, mean1 = (
        dict(np.load(tmp_path / f"{name}.npz")) for name in names
    )
    for name, value in same.items():
        np.testing.assert_array_equal(same0[name], same1[name], err_msg=name)
        # Sums of the halves are added in another order than the sum of the whole.
        np.testing.assert_allclose(value, same0[name], rtol=1e-4, atol=1e-5, err_msg=name)
    for name in apart0:
        is_own = bool((apart0[name] != apart1[name]).any())
        assert is_own == (name in STATISTICS), name
        np.testing.assert_array_equal(mean0[name], mean1[name])
    for name in STATISTICS:
        np.testing.assert_allclose(mean0[name], (apart0[name] + apart1[name]) / 2, rtol=1e-6)


def test_other_backends_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    nodes = Nodes(("a:7001", "b:7001"), 0)
    with (
        pytest.raises(InputError, match="several nodes train with TensorFlow only; this is torch"),
        joined(nodes, {}, no_sign, print),
    ):
        pass
