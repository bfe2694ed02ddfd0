"""A run on two nodes: killed, stopped, resumed, and refused where the nodes differ."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from pplcnet.bundle.bundle import Bundle
from tests.training.node_programs import ends, free_addresses, start

pytestmark = [
    pytest.mark.slow,
]
SMALL = (
    "--model", "pplcnet_x0_25", "--image-size", "32", "--weights", "none", "--batch-size", "8",
    "--set", "dropout=0.2", "--set", "mixup=0.2", "--set", "ema=0.5",
    "--set", "recalibrate_batchnorm=16",
)  # fmt: skip
SECONDS = 300


def two_nodes(
    photos: Path, out: Path, folder: Path, *options: str, other: tuple[str, ...] = ()
) -> list[subprocess.Popen[str]]:
    """Both nodes; `other` are options of node 1 alone. It does not see the folder of the run."""
    addresses = free_addresses()
    found = []
    for node, (place, more) in enumerate([(out, ()), (out.with_name("elsewhere"), other)]):
        arguments = [photos, "--out", place, *SMALL, *options, *more]
        nodes = ["--nodes", addresses, "--node", node]
        module = "tests.runs.train_shallow"
        found.append(start(module, folder / f"shallow{node}", *arguments, *nodes))
    return found


def wait_for_epoch(history: Path, epoch: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if history.is_file() and len(history.read_text().splitlines()) > epoch:
            return
        time.sleep(0.05)
    raise AssertionError(f"{history}: no epoch {epoch} in {SECONDS} s")


def _weights(out: Path) -> dict[str, np.ndarray]:
    bundle = Bundle.open(out / "model.bundle")
    with np.load(bundle.path / bundle.variant("keras")["file"]) as arrays:
        return {name: arrays[name] for name in arrays.files}


def figures_of(out: Path) -> list[list[str]]:
    """The history without the images/s."""
    with (out / "history.csv").open(newline="") as file:
        return [row[:-1] for row in csv.reader(file)]


@pytest.fixture(scope="module")
def whole(common_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodes that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    for code, text in ends(two_nodes(common_photos, folder / "run", folder, "--epochs", "6")):
        assert code == 0, text
    assert not (folder / "elsewhere").exists()
    return folder / "run"


def test_a_run_on_two_nodes_ends_in_a_bundle_that_is_proven_equal(whole: Path) -> None:
    onnx = Bundle.open(whole / "model.bundle").variant("onnx")
    outputs = onnx["parity"]["outputs"].values()
    assert all(each["largest_difference"] < 1e-4 for each in outputs)
    assert (whole / "report.html").is_file()
    assert len(figures_of(whole)) == 7


@pytest.mark.parametrize("victim", [0, 1])
def test_the_death_of_a_node_ends_the_other_and_resuming_ends_as_if_nothing_was(
    victim: int, whole: Path, common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    nodes = two_nodes(common_photos, out, tmp_path, "--epochs", "6")
    wait_for_epoch(out / "history.csv", 2)
    nodes[victim].kill()
    code, text = ends(nodes)[1 - victim]
    assert code == 3, text
    last = text.strip().splitlines()[-1]
    assert last.startswith(f"error: node {victim} (127.0.0.1:")
    assert "ended or cannot be reached" in last
    assert len(figures_of(out)) < 7
    _resume(out, common_photos, tmp_path)
    same_run(out, whole)


def test_a_signal_on_any_node_stops_all_after_the_same_step(
    whole: Path, common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    nodes = two_nodes(common_photos, out, tmp_path, "--epochs", "6")
    wait_for_epoch(out / "history.csv", 1)
    nodes[1].send_signal(signal.SIGTERM)
    stopped = ends(nodes)
    assert [code for code, _ in stopped] == [130, 143], stopped[0][1] + stopped[1][1]
    places = {text[text.index("Stopped ") :].splitlines()[0] for _, text in stopped}
    assert len(places) == 1
    assert all("--resume --out" in text and f"--node {at}" in text
               for at, (_, text) in enumerate(stopped))  # fmt: skip
    _resume(out, common_photos, tmp_path)
    same_run(out, whole)


def test_nodes_that_differ_are_refused_before_the_first_step(
    common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    other = ("--seed", "1")
    refused = ends(two_nodes(common_photos, out, tmp_path, "--epochs", "6", other=other))
    for code, text in refused:
        assert code == 2, text
        assert "has other photos and recipe than node 0" in text
    assert not (out / "checkpoint.npz").exists()


def _resume(out: Path, photos: Path, folder: Path) -> None:
    for code, text in ends(two_nodes(photos, out, folder, "--epochs", "6", "--resume")):
        assert code == 0, text


def same_run(out: Path, whole: Path) -> None:
    assert figures_of(out) == figures_of(whole)
    wanted = _weights(whole)
    found = _weights(out)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
