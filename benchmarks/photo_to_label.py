"""Time the path from a JPEG file to a label: pplcnet against the authors' pipeline.

    python benchmarks/photo_to_label.py BUNDLE PHOTOS --paddle-python PYTHON [--threads 2]

BUNDLE is a tuned bundle of PP-LCNet (pplcnet quantize). PYTHON is an interpreter with paddlepaddle
and opencv-python-headless; without it only pplcnet's own ways are compared. The photos are 500x375
JPEGs of quality 90, each made from four of PHOTOS, so they have realistic detail.

Every pipeline runs in its own process, on the same weights. They are interleaved, so the ratios
hold on a machine whose speed varies. Prints medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from PIL import Image

from pplcnet.benchmarking.others.worker_process import AnsweringProcess
from pplcnet.bundle.bundle import Bundle
from pplcnet.data.image_files import find_images
from pplcnet.errors import InputError
from pplcnet.models.catalog import find

HERE = Path(__file__).parent
# Paddle's Python has no pplcnet, but its pipeline needs the network's definition. Modules are
# compiled once, like those of an installed package.
BYTECODE = tempfile.TemporaryDirectory()
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    "PYTHONPATH": str(HERE.parent / "src"),
    "PYTHONPYCACHEPREFIX": BYTECODE.name,
}
ROUNDS = 12
PADDLE, TUNED = "OpenCV + Paddle", "pplcnet, tuned"


class Child(AnsweringProcess):
    """A pipeline in its own process."""

    def __init__(self, name: str, command: list[str]) -> None:
        super().__init__(name, command, ENVIRONMENT)

    def measure(self, what: str, photos: list[Path], **options: int) -> Any:
        answer = self.ask({"what": what, "photos": [str(photo) for photo in photos], **options})
        # Threads still spinning would slow the next pipeline down; Intel's OpenMP, used by Paddle,
        # lets them spin for 0.2 s.
        time.sleep(0.25)
        return answer


def main() -> None:
    arguments = parse_arguments(__doc__)
    print(describe_machine("onnxruntime", "openvino", "simplejpeg", "opencv-python-headless"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photos = make_photos(Path(arguments.photos), folder / "photos", arguments.count)
        measure(pipeline_commands(arguments, folder), photos)


def parse_arguments(description: str | None, *, needs_paddle: bool = False) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("bundle")
    parser.add_argument("photos")
    parser.add_argument("--paddle-python", required=needs_paddle)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=200)
    return parser.parse_args()


def pipeline_commands(arguments: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """The command of each pipeline; the authors' comes first, if there is a Python for it."""
    ours = [sys.executable, str(HERE / "pplcnet_pipeline.py"), arguments.bundle]
    threads = str(arguments.threads)
    commands = {PADDLE: paddle_command(arguments, folder)} if arguments.paddle_python else {}
    return {
        **commands,
        "pplcnet, float32": [*ours, "openvino", "float32", threads],
        TUNED: [*ours, "-", "-", threads],
    }


def measure(commands: dict[str, list[str]], photos: list[Path]) -> None:
    children = {name: Child(name, command) for name, command in commands.items()}
    reference, *_ = children
    compare_answers(children, photos[:50])
    network: dict[str, list[float]] = {name: [] for name in children}
    whole: dict[str, list[float]] = {name: [] for name in children}
    rates: dict[str, list[float]] = {name: [] for name in children}
    for turn in range(ROUNDS):
        part = photos[turn % 4 :: 4]
        for name, child in children.items():
            network[name] += child.measure("network", photos[:1], runs=30)
            whole[name] += child.measure("photo", part)
    for _ in range(5):
        for name, child in children.items():
            rates[name].append(child.measure("folder", photos))
    for child in children.values():
        child.close()
    first = measure_first_labels(commands, photos[0])
    print_table(reference, network, whole, rates, first)


def measure_first_labels(commands: dict[str, list[str]], photo: Path) -> dict[str, list[float]]:
    """Seconds from starting a process until it has printed the label and exited."""
    first: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(8):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(
                [*command, str(photo)], check=True, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=ENVIRONMENT,
            )  # fmt: skip
            if turn:
                first[name].append(time.perf_counter() - started)
    return first


def print_table(reference: str, network, whole, rates, first) -> None:
    print(f"\n{'':<22} {'network ms':>14} {'photo ms':>14} {'photos/s':>14} {'first label s':>15}")
    for name in network:
        cells = []
        for values, digits in ((network, 2), (whole, 2), (rates, 0), (first, 2)):
            own, base = statistics.median(values[name]), statistics.median(values[reference])
            ratio = own / base if values is rates else base / own
            cells.append(f"{own:7.{digits}f} {ratio:5.2f}x")
        print(f"{name:<22} {cells[0]:>14} {cells[1]:>14} {cells[2]:>14} {cells[3]:>15}")
    print(f"times faster are against {reference!r}; the first label is that of a cold process")


def compare_answers(children: dict[str, Child], photos: list[Path]) -> None:
    logits = {name: np.array(child.measure("logits", photos)) for name, child in children.items()}
    reference, *_ = logits
    for name, values in logits.items():
        agreement = (values.argmax(1) == logits[reference].argmax(1)).mean()
        largest = np.abs(values - logits[reference]).max() / np.abs(logits[reference]).max()
        print(f"{name:<22} same answer as {reference!r} on {agreement:.2f} of {len(photos)} "
              f"photos; largest difference {largest:.1e} of the largest logit")  # fmt: skip


def make_photos(source: Path, folder: Path, count: int) -> list[Path]:
    """Make 500x375 JPEGs, each from four photos side by side."""
    folder.mkdir()
    found = list(find_images(source))
    step = max(1, len(found) // (4 * count))
    chosen = found[::step]
    paths = []
    for at in range(min(count, len(chosen) // 4)):
        image = Image.new("RGB", (500, 375))
        for corner in range(4):
            with Image.open(chosen[at + corner * (len(chosen) // 4)]) as opened:
                photo = opened.convert("RGB")
            scale = max(250 / photo.width, 188 / photo.height)
            photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
            image.paste(photo.crop((0, 0, 250, 188)), (corner % 2 * 250, corner // 2 * 188))
        paths.append(folder / f"{at:04d}.jpg")
        image.save(paths[-1], quality=90)
    mean = sum(path.stat().st_size for path in paths) / len(paths)
    print(f"{len(paths)} photos of 500x375, {mean / 1024:.0f} KiB each")
    return paths


def paddle_command(arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Write the bundle's weights under the original's names; returns Paddle's command."""
    bundle = Bundle.open(arguments.bundle)
    row = find(bundle.manifest.network["name"])
    if row.family != "pplcnet":
        raise SystemExit(f"{row.name}: the authors' pipeline here is that of PP-LCNet.")
    weights = np.load(Path(arguments.bundle) / bundle.variant("keras")["file"])
    state_file = folder / "state.npz"
    np.savez(state_file, allow_pickle=False, **state_dict(dict(weights)))
    (folder / "paddle").mkdir()
    size = bundle.manifest.preprocessing.image_size[0]
    command = [arguments.paddle_python, str(HERE / "paddle_pipeline.py"), str(state_file),
               str(row.scale), str(size), str(arguments.threads),
               str(folder / "paddle")]  # fmt: skip
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    return command


def state_dict(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert Keras' layouts and names to the original's, as `blocks3_0_dw_conv_bn.gamma`."""
    parts = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias",
             "moving_mean": "_mean", "moving_variance": "_variance"}  # fmt: skip
    state = {}
    for name, value in weights.items():
        layer, _, part = name.rpartition(".")
        words = layer.split("_")
        if words[0].startswith("blocks"):
            inner = "_".join(words[2:])
            for whole in ("dw_conv_conv", "dw_conv_bn", "pw_conv_conv", "pw_conv_bn"):
                inner = inner.replace(whole, f"{whole[:7]}.{whole[8:]}")
            path = f"{words[0]}.{words[1]}.{inner.replace('se_', 'se.')}"
        else:
            path = {"conv1_conv": "conv1.conv", "conv1_bn": "conv1.bn"}.get(layer, layer)
        if value.ndim == 4:
            depthwise = layer.endswith("dw_conv_conv")
            value = value.transpose(2, 3, 0, 1) if depthwise else value.transpose(3, 2, 0, 1)
        state[f"{path}.{parts[part]}"] = value
    return state


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        raise SystemExit(f"error: {error}") from error
