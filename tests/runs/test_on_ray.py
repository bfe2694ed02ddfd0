"""Runs whose nodes and searches a Ray cluster starts, with processes that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray, which 'make test' installs")

from pplcnet.training.search_journal import finished_trials, open_study
from tests.jobs.processes import descendants, is_alive, title, wait_for
from tests.runs.test_joining import SMALL, figures_of, same_run, two_nodes, wait_for_epoch
from tests.training.node_programs import ends, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux' /proc"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
EPOCHS = ("--epochs", "6")
TRIALS = "search/trials.log"


def _started(photos: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    words = [photos, "--out", out, *SMALL, *EPOCHS, "--on", "ray", *options]
    return start("tests.runs.train_shallow", out.parent / "shallow", *words)


def _programs(driver: subprocess.Popen[str], variable: str) -> Iterator[int]:
    """The processes of a cluster that train, with a variable in their environment."""
    for pid in descendants(driver.pid):
        if "kept_process" in title(pid):
            text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
            if variable in text.split("\0"):
                yield pid


@pytest.fixture(scope="module")
def whole(common_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodes without Ray that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    for code, text in ends(two_nodes(common_photos, folder / "run", folder, *EPOCHS)):
        assert code == 0, text
    return folder / "run"


@pytest.mark.parametrize("victim", [0, 1])
def test_a_node_on_ray_that_dies_ends_the_command_and_resuming_ends_as_if_nothing_was(
    victim: int, whole: Path, common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = _started(common_photos, out, "--nodes", "2")
    wait_for_epoch(out / "history.csv", 2)
    (process,) = _programs(driver, f"PPLCNET_RAY_NODE={victim}")
    started = list(descendants(driver.pid))
    os.kill(process, signal.SIGKILL)
    ((code, text),) = ends([driver])
    assert code == 3, text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, text
    assert f"node {victim} (" in errors[0]
    assert "--resume" in errors[0]
    wait_for(lambda: not any(map(is_alive, started)))
    assert len(figures_of(out)) < 7
    ((code, text),) = ends([_started(common_photos, out, "--nodes", "2", "--resume")])
    assert code == 0, text
    same_run(out, whole)


def test_a_signal_stops_the_nodes_and_the_command_says_how_to_continue(
    whole: Path, common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = _started(common_photos, out, "--nodes", "2")
    wait_for_epoch(out / "history.csv", 1)
    driver.send_signal(signal.SIGTERM)
    ((code, text),) = ends([driver])
    assert code == 143, text
    assert f"Continue with: pplcnet train --resume --out {out} --on ray --nodes 2" in text
    resumed = start(
        "tests.runs.train_shallow", tmp_path / "shallow", "--resume", "--out", out,
        "--on", "ray", "--nodes", "2",
    )  # fmt: skip
    ((code, text),) = ends([resumed])
    assert code == 0, text
    same_run(out, whole)


def test_a_search_on_ray_whose_process_is_killed_does_its_trial_again(
    common_photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = _started(common_photos, out, "--search", "60s", "--workers", "2")
    journal = out / TRIALS
    wait_for(lambda: journal.is_file() and journal.read_text().count('"began"') >= 2)
    process = next(_programs(driver, "PPLCNET_RAY_HELPER=1"))
    os.kill(process, signal.SIGKILL)
    ((code, text),) = ends([driver])
    assert code == 0, text
    assert "was lost (ended by SIGKILL); its trial will be done again" in text
    study = open_study(journal, json.loads((out / "run.json").read_text())["id"])
    trials = study.get_trials(deepcopy=False)
    lost = next(each for each in trials if each.user_attrs.get("pid") == process)
    (again,) = (
        each
        for each in trials
        if each.number != lost.number and each.user_attrs.get("numbers") == lost.params
    )
    assert again.user_attrs.get("pid") != process
    finished = finished_trials(study)
    assert len(finished) > 1
    assert len({tuple(each.params.values()) for each in finished}) == len(finished)
    assert (out / "report.html").is_file()
    assert not list((out / "search").glob("trial-*"))
