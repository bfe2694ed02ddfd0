"""Which machines train together, as options or TF_CONFIG say it."""

from __future__ import annotations

import json
import socket

import pytest

from pplcnet.cli.main import main
from pplcnet.errors import InputError, RecipeError
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.nodes import Nodes, find_nodes

TWO = ("a:7001", "b:7001")


def _config(cluster: dict, kind: str = "worker", index: int = 1) -> dict[str, str]:
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_options_name_the_nodes_and_this_one_among_them() -> None:
    nodes = find_nodes("a:7001, b:7001", 1, _config({"worker": ["c:1", "d:1"]}))
    assert nodes == Nodes(TWO, 1)
    assert find_nodes(*nodes.options[1::2][:1], int(nodes.options[3]), {}) == nodes


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "place"),
    [
        ({"worker": list(TWO)}, "worker", 1, 1),
        ({"chief": ["a:7001"], "worker": ["b:7001"]}, "worker", 0, 1),
        ({"chief": ["a:7001"], "worker": ["b:7001"]}, "chief", 0, 0),
    ],
)
def test_tf_config_names_them_too(cluster: dict, kind: str, index: int, place: int) -> None:
    assert find_nodes(None, None, _config(cluster, kind, index)) == Nodes(TWO, place)


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": "{}"}, _config({"worker": ["a:1"]})])
def test_a_cluster_of_one_is_this_machine(environment: dict[str, str]) -> None:
    assert find_nodes(None, None, environment) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a:7001,b:7001", None), "need each other"),
        ((None, 1), "need each other"),
        (("a,b:7001", 0), "'a' is not an address; every node is HOST:PORT"),
        (("a:99999,b:7001", 0), "'a:99999' is not an address"),
        (("a:7001", 0), "names one node"),
        (("a:7001,a:7001", 0), "names a node twice"),
        (("a:7001,b:7001", 2), "counted from 0 to 1"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(given, said: str) -> None:
    with pytest.raises(InputError, match=said):
        find_nodes(*given, {})


@pytest.mark.parametrize(
    "environment",
    [
        {"TF_CONFIG": "no json"},
        {"TF_CONFIG": "[]"},
        {"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"index": Infinity}}'},
        _config({"worker": list(TWO), "ps": ["c:1"]}),
        _config({"worker": list(TWO)}, "evaluator", 0),
    ],
)
def test_a_tf_config_of_something_else_is_one_sentence(environment: dict[str, str]) -> None:
    with pytest.raises(InputError, match="TF_CONFIG"):
        find_nodes(None, None, environment)


def test_a_batch_is_shared_among_the_nodes() -> None:
    assert Nodes(TWO, 0).shared(Recipe(batch_size=8)) == Recipe(batch_size=8, devices=2)


def test_a_recipe_that_cannot_be_shared_lists_all_that_is_wrong() -> None:
    recipe = Recipe(batch_size=9, gradient_accumulation=2)
    with pytest.raises(RecipeError, match="cannot be trained on 2 nodes") as caught:
        Nodes(TWO, 0).shared(recipe)
    assert [each.split()[0] for each in caught.value.faults] == [
        "batch_size",
        "gradient_accumulation",
    ]


def test_a_node_whose_port_is_closed_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as open_port:
        closed = socket.create_server(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in (open_port, closed)]
        closed.close()
        assert Nodes(("127.0.0.1:1", *addresses), 0).silent() == [2]


def test_a_search_on_several_nodes_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = ["--nodes", "a:7001,b:7001", "--node", "0"]
    assert main(["train", "photos", "--out", "nowhere", "--search", "1m", *nodes]) == 2
    assert "--search trains on one node" in capsys.readouterr().err
