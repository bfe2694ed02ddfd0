"""Measure training on a GPU in images/s, from the bare step to a whole run, in 5 to 8 minutes.

    KERAS_BACKEND=jax python benchmarks/gpu_training.py [--threads] [--only-step] [--quick]

Needs no TensorFlow: Keras runs on JAX (by default) or PyTorch. It draws its own JPEGs and prints

- the bare training step with the batch on the device, and from the host's memory;
- the loader alone, with threads and with processes, from JPEGs and from the cache of decoded
  pictures;
- `pplcnet train` by epoch, with worker_processes unless --threads is given: the first reads JPEGs,
  the later ones the cache;
- timm's lcnet_100 with PyTorch, eager and compiled, if timm is installed.

The last line says what fraction of the bare step's speed a whole run reaches from the cache.
--quick uses a tiny network and few steps, just to check that everything runs, also on a CPU.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from machine import describe_machine
from smooth_photos import write_photos

from pplcnet.data.dataset import Dataset
from pplcnet.models.build import build_model
from pplcnet.recipe.adapting import adapted
from pplcnet.recipe.recipe import Recipe
from pplcnet.tasks.task_training import Objective
from pplcnet.training.batches import TrainingBatches
from pplcnet.training.devices import Devices, normalize_in_step
from pplcnet.training.optimizers import compile_model
from pplcnet.training.pictures import preprocessing_of

CLASSES = 10
UNMEASURED = 3
"""Steps that compile, or wait for compilation."""


class Plan(NamedTuple):
    """How much to measure."""

    model: str
    image_size: int
    batch_size: int
    photos: int
    steps: int
    epochs: int
    precision: str


WHOLE = Plan("pplcnet_x1_0", 224, 256, 8192, 40, 4, "mixed_bfloat16")
QUICK = Plan("pplcnet_x0_25", 32, 8, 48, 3, 2, "float32")


def images_per_second(run: Callable[[], Any], wait: Callable[[Any], object], plan: Plan) -> float:
    """The rate of `run`, a step whose result `wait` waits for."""
    for _ in range(UNMEASURED):
        wait(run())
    started = time.perf_counter()
    result = None
    for _ in range(plan.steps):
        result = run()
    wait(result)
    return plan.steps * plan.batch_size / (time.perf_counter() - started)


def bare_steps(recipe: Recipe, plan: Plan) -> tuple[float, float]:
    """Images/s of the training step: with the batch on the device, and from host memory."""
    keras.config.set_dtype_policy(plan.precision)
    model = build_model(plan.model, num_classes=CLASSES, image_size=plan.image_size)
    keras.config.set_dtype_policy("float32")
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    compile_model(model, recipe, 1000, Objective(loss, []))
    normalize_in_step(model, preprocessing_of(recipe))
    step = Devices(recipe).step_of(model)
    shape = (plan.batch_size, plan.image_size, plan.image_size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    targets = np.eye(CLASSES, dtype=np.float32)[np.arange(plan.batch_size) % CLASSES]
    placed = step.place(images), step.place(targets)

    def wait(logs: Any) -> None:
        float(logs["loss"])

    on_device = images_per_second(lambda: step(*placed), wait, plan)
    from_memory = images_per_second(
        lambda: step(step.place(images), step.place(targets)), wait, plan
    )
    step.finish()
    return on_device, from_memory


def loading_alone(photos: Path, recipe: Recipe) -> tuple[float, float, float]:
    """Images/s from JPEGs and from the cache, and CPU milliseconds per image from the cache."""
    batches = TrainingBatches(Dataset.open(photos), recipe, preprocessing_of(recipe))
    rates, cost = [], 0.0
    for epoch in range(2):
        started, processor = time.perf_counter(), time.process_time()
        images = sum(len(batch.targets) for batch in batches.epoch(epoch))
        rates.append(images / (time.perf_counter() - started))
        cost = 1e3 * (time.process_time() - processor) / images
    return rates[0], rates[1], cost


def whole_run(photos: Path, plan: Plan, out: Path, *, processes: bool) -> list[float]:
    """Images/s of each epoch of `pplcnet train`, which ends with an exported bundle."""
    settings = {
        "batch_size": plan.batch_size,
        "precision": plan.precision,
        "cache_gigabytes": 16,
        "worker_processes": str(processes).lower(),
        "validation": 0.05,
        "test": 0.05,
    }
    command = [
        *(sys.executable, "-m", "pplcnet", "train", str(photos), "--out", str(out)),
        *("--model", plan.model, "--image-size", str(plan.image_size)),
        *("--epochs", str(plan.epochs), "--weights", "none"),
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pplcnet train failed:\n{done.stdout}{done.stderr}")
    if not (out / "model.bundle" / "model.onnx").is_file():
        sys.exit("pplcnet train exported nothing.")
    with (out / "history.csv").open(newline="") as file:
        return [float(row["images_per_second"]) for row in csv.DictReader(file)]


def timm_steps(plan: Plan) -> dict[str, float]:
    """Images/s of timm's network in PyTorch, with the batch on the device."""
    import timm
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = "lcnet_100" if plan is WHOLE else "lcnet_035"
    size = (plan.batch_size, 3, plan.image_size, plan.image_size)
    images = torch.rand(size, device=device).to(memory_format=torch.channels_last)
    targets = torch.arange(plan.batch_size, device=device) % CLASSES
    rates = {}
    for way in ("eager", "compiled"):
        network = timm.create_model(name, num_classes=CLASSES).to(device)
        network = network.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        forward = torch.compile(network) if way == "compiled" else network

        def step(forward: Any = forward, optimizer: Any = optimizer) -> Any:
            with torch.autocast(device.type, torch.bfloat16, enabled=plan is WHOLE):
                loss = torch.nn.functional.cross_entropy(forward(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        rates[way] = images_per_second(step, lambda loss: loss.item(), plan)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny: only to see that it runs")
    parser.add_argument("--threads", action="store_true", help="train without worker_processes")
    parser.add_argument("--only-step", action="store_true", help="the bare step and timm alone")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else WHOLE
    print(f"{describe_machine()}; Keras {keras.__version__} on {keras.backend.backend()}")
    print(f"{plan.model}, {plan.image_size} pixels, batch {plan.batch_size}, {plan.precision}")

    def show(name: str, rate: float, more: str = "") -> None:
        print(f"{name:<42} {rate:9,.0f} images/s{more}", flush=True)

    settings = {name: getattr(plan, name) for name in ("model", "image_size", "batch_size")}
    settings |= {"cache_gigabytes": 16, "worker_processes": False}
    recipe = adapted(Recipe().changed(settings), plan.photos)
    fed = None
    if not arguments.only_step:
        fed = measure_feeding(recipe, plan, show, threads=arguments.threads)
    on_device, from_memory = bare_steps(recipe, plan)
    show("bare step, batch on the device", on_device)
    show("bare step, batch from memory", from_memory)
    try:
        import timm  # noqa: F401
    except (ImportError, RuntimeError) as error:  # or a torchvision that does not match PyTorch
        print(f"timm cannot be imported, so that it is not compared: {error}")
    else:
        for way, rate in timm_steps(plan).items():
            show(f"timm lcnet in PyTorch, {way}", rate)
    if fed is not None:
        print(f"a whole run from the cache reaches {fed / on_device:.0%} of the bare step")


def measure_feeding(
    recipe: Recipe, plan: Plan, show: Callable[..., None], *, threads: bool
) -> float:
    """Measure the loader alone, then whole runs; returns images/s of a run from the cache."""
    with tempfile.TemporaryDirectory() as scratch:
        photos = write_photos(Path(scratch) / "photos", plan.photos, CLASSES)
        files, cache, cost = loading_alone(photos, recipe)
        show("loading alone, threads, from JPEGs", files)
        show("loading alone, threads, from the cache", cache, f", {cost:.2f} ms of processor each")
        has_processes = hasattr(os, "memfd_create")
        if has_processes:
            files, cache, _ = loading_alone(photos, recipe.changed({"worker_processes": True}))
            show("loading alone, processes, from JPEGs", files)
            show("loading alone, processes, from the cache", cache)
        # First of those on the GPU, as a process of its own needs the memory.
        processes = has_processes and not threads
        rates = whole_run(photos, plan, Path(scratch) / "run", processes=processes)
        by = "processes" if processes else "threads"
        show(f"pplcnet train, {by}, from JPEGs (epoch 1)", rates[0])
        fed = statistics.median(rates[1:])
        show(f"pplcnet train, {by}, from the cache", fed)
    return fed


if __name__ == "__main__":
    main()
