"""Pretrains a network of the catalog on pictures drawn by formulas: no photos, no download.

The network learns which formula each picture comes from. Its classifier is discarded; the rest is a
start for training on photos.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from pplcnet.errors import TrainingDiverged
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.models.build import build_model
from pplcnet.pretraining.pictures import Pictures, draw_all
from pplcnet.pretraining.plan import Plan
from pplcnet.pretraining.views import Views, draw_views
from pplcnet.system.progress import Busy, no_sign
from pplcnet.system.wording import duration
from pplcnet.training.first_weights import soften
from pplcnet.training.interruption import interrupts_deferred
from pplcnet.weights import native
from pplcnet.weights.backbones import write_backbone

__all__ = ["Pretrained", "pretrain", "views_in"]

REPORTS = 20
SAVE_EVERY = 120.0
"""Seconds between saves of the unfinished backbone."""
UNTIMED_STEPS, TIMED_STEPS = 3, 10


class Pretrained(NamedTuple):
    """The result of pretraining."""

    path: Path
    views: int
    """Views trained on; fewer than planned after an interruption."""
    signal: int
    """The number of the signal that stopped it early; 0 if none did."""


def pretrain(
    network: str,
    path: Path,
    plan: Plan,
    *,
    report: Callable[[str], None] = lambda line: None,
    busy: Busy = no_sign,
) -> Pretrained:
    """Pretrain a network and write its backbone to `path`, saving it every two minutes.

    The same network, plan, backend and number of threads give the same file. Ctrl-C stops after the
    current step and keeps what was learned so far.

    Raises:
        UnknownNameError: no such network.
        TrainingDiverged: the loss became NaN or infinite; `path` has the last saved state, if any.
        StorageError: the file cannot be written.
    """
    keras.utils.set_random_seed(plan.seed)
    with busy("drawing the pictures"):
        pictures = draw_all(plan.pictures, plan.seed)
    model = build_model(network, num_classes=len(pictures.grey), image_size=None, dropout=0.0)
    soften(model, plan.batchnorm_scale)
    steps = max(1, plan.views // plan.batch_size)
    _compile(model, plan, steps)
    losses: list[float] = []
    every = max(1, steps // REPORTS)
    begun = saved = time.monotonic()
    with interrupts_deferred() as interrupted:
        for step, views in enumerate(_views(pictures, plan, steps), 1):
            losses.append(_train(model, views))
            if not math.isfinite(losses[-1]):
                raise TrainingDiverged(
                    f"the loss became NaN or infinite in step {step} of {steps}; pretrain again "
                    "with a lower --rate."
                )
            # Checked once per step: a later signal stops after the next step, which is saved.
            now, is_last = time.monotonic(), step == steps or bool(interrupted())
            if is_last or step % every == 0:
                loss, rate = float(np.mean(losses[-every:])), step / (now - begun)
                report(_line(step, steps, plan.batch_size, loss, rate))
            if is_last or now - saved > SAVE_EVERY:
                _save(model, network, path, plan, step * plan.batch_size)
                saved = now
            if is_last:
                break
    return Pretrained(path, step * plan.batch_size, 0 if step == steps else interrupted())


def _line(step: int, steps: int, batch_size: int, loss: float, rate: float) -> str:
    """A progress line; `rate` is in steps per second."""
    return (
        f"{step * batch_size:,} of {steps * batch_size:,} views, loss {loss:.2f}, "
        f"{rate * batch_size:.0f} views/s, {duration((steps - step) / rate)} left"
    )


def views_in(network: str, plan: Plan, seconds: float) -> int:
    """The number of views that pretraining processes in about this time here, measured."""
    pictures = draw_all(plan.pictures._replace(each=1), plan.seed)
    model = build_model(network, num_classes=len(pictures.grey), image_size=None, dropout=0.0)
    _compile(model, plan, TIMED_STEPS)
    generator = np.random.default_rng(plan.seed)

    def run(steps: int, side: int) -> float:
        begun = time.monotonic()
        for _ in range(steps):
            _train(model, draw_views(pictures, plan.batch_size, side, generator))
        return time.monotonic() - begun

    spent = 0.0
    for side in plan.sizes:
        run(UNTIMED_STEPS, side)  # compiles
        spent += run(TIMED_STEPS, side)
    steps = seconds * len(plan.sizes) * TIMED_STEPS / spent
    return max(1, round(steps)) * plan.batch_size


def _train(model: keras.Model, views: Views) -> float:
    """One step; returns its loss."""
    images = Preprocessing(image_size=views.images.shape[1:3]).normalize(views.images)
    return float(model.train_on_batch(images, views.classes, return_dict=True)["loss"])


def _compile(model: keras.Model, plan: Plan, steps: int) -> None:
    warmup = min(200, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else plan.rate,
        steps - warmup,
        warmup_target=plan.rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, weight_decay=plan.weight_decay
    )
    vectors = [each for each in model.trainable_variables if len(each.shape) == 1]
    optimizer.exclude_from_weight_decay(var_list=vectors)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # XLA makes TensorFlow's CPU training several times slower; JAX needs it.
    model.compile(optimizer, loss=loss, jit_compile=keras.backend.backend() == "jax")


def _views(pictures: Pictures, plan: Plan, steps: int) -> Iterator[Views]:
    """Yield the batches of all steps, each drawn while the previous one is trained on."""

    def draw(step: int) -> Views:
        side = plan.sizes[step * len(plan.sizes) // steps]
        return draw_views(pictures, plan.batch_size, side, np.random.default_rng((plan.seed, step)))

    with ThreadPoolExecutor(1, thread_name_prefix="pplcnet-views") as pool:
        ahead = pool.submit(draw, 0)
        for step in range(steps):
            views = ahead.result()
            if step + 1 < steps:
                ahead = pool.submit(draw, step + 1)
            yield views


def _save(model: keras.Model, network: str, path: Path, plan: Plan, views: int) -> None:
    values: dict[str, NDArray[np.float32]] = native.get_values(model)
    write_backbone(
        path, network, values, made_with={**plan.facts(), "seen": views}, without=plan.without
    )
