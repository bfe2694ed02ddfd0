"""Time whole processes: `--help`, and the first prediction from a cold start.

python benchmarks/cold_start.py BUNDLE PHOTO [--runs 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from machine import describe_machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("photo")
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    print(describe_machine("onnxruntime", "pillow"))
    program = [sys.executable, "-m", "pplcnet"]
    commands = {
        "import pplcnet": [sys.executable, "-c", "import pplcnet"],
        "python alone": [sys.executable, "-c", "pass"],
        "pplcnet --help": [*program, "--help"],
        "pplcnet train --help": [*program, "train", "--help"],
        "pplcnet predict": [*program, "predict", arguments.bundle, arguments.photo],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(arguments.runs + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first run only fills the file cache
                times[name].append(time.perf_counter() - started)
    for name, values in times.items():
        print(f"{name:<24} {statistics.median(values):6.3f} s, greatest {max(values):.3f} s")


if __name__ == "__main__":
    main()
