"""Example manifests: what they start is understood, and the shares are those that they start."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pplcnet.cli.main import parser_of, split_verb
from tests.docs.pages import ROOT

FOLDER = ROOT / "docs" / "guides" / "scale-out"
KUBERNETES, SLURM = FOLDER / "kubernetes.yaml", FOLDER / "slurm.sh"


def _parse(words: list[str]) -> Any:
    assert words[0] == "pplcnet"
    verb, rest = split_verb(words[1:])
    return parser_of(verb).parse_args(rest)


def _lost(given: Any, read: Any, place: str = "") -> list[str]:
    """The fields of a manifest that are not in what was read of it."""
    if isinstance(given, dict):
        if not isinstance(read, dict):
            return [place]
        return [
            lost
            for key, each in given.items()
            for lost in _lost(each, read.get(key), f"{place}/{key}")
        ]
    if isinstance(given, list):
        read = read if isinstance(read, list) else []
        return [
            lost
            for at, each in enumerate(given)
            for lost in _lost(each, read[at] if at < len(read) else None, f"{place}/{at}")
        ]
    return [] if given == read else [place]


def test_the_job_of_kubernetes_starts_every_share_once() -> None:
    job = yaml.safe_load(KUBERNETES.read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    count = job["completions"]
    assert (job["completionMode"], job["parallelism"] <= count) == ("Indexed", True)
    assert "JOB_COMPLETION_INDEX" in [each["name"] for each in container["env"]]
    for index in (0, count - 1):
        words = [
            each.replace("$(JOB_COMPLETION_INDEX)", str(index)) for each in container["command"]
        ]
        assert _parse(words).shards == (index, count)
    assert _parse(words).workers == int(container["resources"]["requests"]["cpu"])
    mounts = {each["name"] for each in container["volumeMounts"]}
    assert mounts == {each["name"] for each in job["template"]["spec"]["volumes"]}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")
def test_kubectl_knows_every_field_of_the_job() -> None:
    # `set env --local` reads a manifest into kubectl's own types, which drop what they do not know.
    command = ["kubectl", "set", "env", "--local", "-f", KUBERNETES, "ADDED=1", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert _lost(yaml.safe_load(KUBERNETES.read_text()), json.loads(done.stdout)) == []


def test_the_array_of_slurm_starts_every_share_once(tmp_path: Path) -> None:
    text = SLURM.read_text()
    first, last = map(int, re.search(r"^#SBATCH --array=(\d+)-(\d+)$", text, re.M).groups())
    cpus = re.search(r"^#SBATCH --cpus-per-task=(\d+)$", text, re.M)[1]
    assert first == 0
    # The script itself, with a pplcnet that writes down how it was called.
    (tmp_path / "pplcnet").write_text('#!/bin/sh\nprintf "pplcnet"\nprintf " %s" "$@"\n')
    (tmp_path / "pplcnet").chmod(0o755)
    for index in (0, last):
        environment = {
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_CPUS_PER_TASK": cpus,
        }
        done = subprocess.run(
            ["bash", SLURM], env=environment, capture_output=True, text=True, check=True
        )
        parsed = _parse(shlex.split(done.stdout))
        assert (parsed.shards, parsed.workers) == ((index, last + 1), int(cpus))
