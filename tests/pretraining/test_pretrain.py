"""A tiny pretraining: its file is the same for the same seed, and training starts from it."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pplcnet.errors import TrainingDiverged
from pplcnet.models.build import build_model
from pplcnet.pretraining import pretrain as pretraining
from pplcnet.pretraining.plan import Amounts, Plan
from pplcnet.pretraining.pretrain import pretrain
from pplcnet.weights.loading import load_pretrained, read_for
from pplcnet.weights.native import get_values, read_npz

pytestmark = pytest.mark.usefixtures("shallow_networks")

NAME = "pplcnet_x0_25"
TINY = Plan(views=64, batch_size=16, sizes=(24,), pictures=Amounts(2, 2, 2, each=2, side=32))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pretraining") / "first.npz"
    said: list[str] = []
    done = pretrain(NAME, path, TINY, report=said.append)
    assert (done.path, done.views, done.signal) == (path, 64, 0)
    assert said[-1].startswith("64 of 64 views, loss ")
    return path


def test_the_same_plan_gives_the_same_file(backbone: Path, tmp_path: Path) -> None:
    pretrain(NAME, tmp_path / "again.npz", TINY)
    assert (tmp_path / "again.npz").read_bytes() == backbone.read_bytes()


def test_the_file_says_how_it_was_made(backbone: Path) -> None:
    about = json.loads(read_npz(backbone)["about"].tobytes())
    assert about["network"] == NAME
    assert about["made_with"]["seen"] == 64
    assert about["made_with"]["pictures"]["fractals"] == 2


def test_training_starts_from_the_file(backbone: Path) -> None:
    model = build_model(NAME, num_classes=3, image_size=32)
    before = get_values(model)
    load_pretrained(model, backbone, read_for(NAME, backbone).weights)
    after = get_values(model)
    assert all(np.isfinite(value).all() for value in after.values())
    assert not np.array_equal(after["conv1_conv.kernel"], before["conv1_conv.kernel"])
    assert not np.array_equal(after["conv1_bn.moving_mean"], before["conv1_bn.moving_mean"])
    assert np.array_equal(after["fc.kernel"], before["fc.kernel"])


def test_an_interrupt_saves_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "_train", lambda model, views: 1.0)

    signals = iter([signal.SIGINT])

    def interrupt(_: str) -> None:
        for once in signals:
            os.kill(os.getpid(), once)

    done = pretrain(NAME, tmp_path / "stopped.npz", replace(TINY, sizes=(24, 32)), report=interrupt)
    assert done.signal == signal.SIGINT
    assert 0 < done.views < TINY.views
    about = json.loads(read_npz(done.path)["about"].tobytes())
    assert about["made_with"]["seen"] == done.views


def test_a_loss_that_is_not_finite_ends_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining, "_train", lambda model, views: float("nan"))
    with pytest.raises(TrainingDiverged, match="lower --rate"):
        pretrain(NAME, tmp_path / "wild.npz", TINY)
    assert not (tmp_path / "wild.npz").exists()
