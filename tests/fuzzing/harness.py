"""Coverage-guided fuzzing of a reader: mutated files must end in an answer or one of our errors.

A test names a module-level function and gives some good files:

    def read(path: Path) -> None:
        read_safetensors(path)

    @pytest.mark.slow
    def test_mutated_safetensors_files_are_read_or_refused(tmp_path):
        fuzz(read, {"small": content}, tmp_path, suffix=".safetensors")

`fuzz` runs atheris (libFuzzer) in a process of its own: 20,000 inputs, 5 seconds for each, and one
gigabyte of memory above what the process held before the first. Any exception that is not a
PPLCNetError fails the test, which prints the end of the log and where the input was saved.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from pplcnet.errors import PPLCNetError

RUNS = 20_000
SECONDS_EACH = 5
MEMORY = 1 << 30
# What the allocator and the threads of a framework reserve without using it.
RESERVED = 512 << 20

Read = Callable[[Path], object]


def fuzz(
    read: Read,
    seeds: Mapping[str, bytes],
    folder: Path,
    *,
    suffix: str = "",
    tokens: Sequence[bytes] = (),
    runs: int = RUNS,
) -> None:
    """Read `runs` mutations of the seeds; fails on a foreign exception, a hang or a lot of memory.

    Args:
        read: a function at the top of a test module; gets the path of a file to read.
        seeds: good files' contents by name, small ones.
        folder: where corpus, input and findings are written.
        suffix: ending of the file that is read, such as ".npz".
        tokens: byte strings that the format knows, for the mutations to use.
    """
    pytest.importorskip("atheris", reason="atheris, the fuzzer, is not installed")
    corpus, found = folder / "corpus", folder / "found"
    for each in (corpus, found):
        each.mkdir(parents=True)
    for name, content in seeds.items():
        (corpus / name).write_bytes(content)
    options = [
        f"-runs={runs}",
        "-seed=1",
        f"-timeout={SECONDS_EACH}",
        "-rss_limit_mb=0",  # the process limits itself, see below
        "-len_control=0",  # whole files from the start, not short ones first
        "-reduce_inputs=0",
        f"-artifact_prefix={found}{os.sep}",
        "-print_final_stats=1",
    ]
    if tokens:
        dictionary = folder / "tokens"
        lines = ['"' + "".join(f"\\x{byte:02x}" for byte in token) + '"' for token in tokens]
        dictionary.write_text("\n".join(lines) + "\n")
        options.append(f"-dict={dictionary}")
    log = folder / "log"
    with log.open("wb") as file:
        ended = subprocess.run(
            [
                sys.executable, "-m", "tests.fuzzing.harness",
                f"{read.__module__}:{read.__qualname__}", str(folder / f"input{suffix}"),
                *options, str(corpus),
            ],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    text = log.read_text(errors="replace")
    finding = next(found.iterdir(), None)
    end = "\n".join(text.splitlines()[-60:])
    assert ended.returncode == 0, f"input: {finding}\n{end}"
    assert f"Done {runs} runs" in text, end


def _main(target: str, place: str, options: Sequence[str]) -> None:
    """The process that fuzzes: instrument our code, limit the memory, run."""
    import resource

    import atheris

    module, name = target.split(":")
    with atheris.instrument_imports(include=["pplcnet"]):
        read: Read = getattr(importlib.import_module(module), name)
    path = Path(place)

    def test_one_input(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(PPLCNetError):
            read(path)

    # What is imported at first use would count as memory of some unlucky input.
    corpus = Path(options[-1])
    for each in sorted(corpus.iterdir()):
        test_one_input(each.read_bytes())
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + MEMORY + RESERVED
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    atheris.Setup([sys.argv[0], *options], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], sys.argv[3:])
