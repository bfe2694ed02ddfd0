"""What two nodes do in a test, each in a process of its own; and one process, to compare with.

Both nodes see the same images, which one process sees twice, so that BatchNorm's statistics of a
node's part are those of the whole batch. Then the nodes see different ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

from pplcnet.errors import InputError
from pplcnet.models.variables import value_of
from pplcnet.recipe.recipe import Recipe
from pplcnet.system.progress import no_sign
from pplcnet.tasks.task_training import Objective
from pplcnet.training.devices import Devices
from pplcnet.training.group import Group
from pplcnet.training.node_group import joined
from pplcnet.training.nodes import Nodes, find_nodes
from pplcnet.training.optimizers import compile_model

ALIKE = {"photos": "the same"}


def learn_the_same(group: Group, out: Path) -> tuple[keras.Model, list]:
    """Three steps; writes the losses and all variables."""
    recipe = group.shared(
        Recipe(batch_size=12, gradient_clip=0.5, ema=0.5, warmup_epochs=0, learning_rate=0.1)
    )
    devices = Devices(recipe, group)
    keras.utils.set_random_seed(0)
    with devices.scope():
        layers = [
            keras.layers.Conv2D(4, 3, strides=2, use_bias=False, name="convolution"),
            keras.layers.BatchNormalization(momentum=0.9, name="batchnorm"),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, name="head"),
        ]
        model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        compile_model(model, recipe, 10, Objective(loss, [keras.metrics.CategoricalAccuracy()]))
    step = devices.step_of(model)
    seen = 2 // group.count
    images = np.random.default_rng(0).normal(size=(6, 16, 16, 3)).astype(np.float32)
    batch = (
        np.tile(images, (seen, 1, 1, 1)),
        np.tile(np.eye(3, dtype=np.float32)[np.arange(6) % 3], (seen, 1)),
    )
    logs = [step(*batch) for _ in range(3)]
    figures = {name: np.asarray([float(each[name]) for each in logs]) for name in logs[0]}
    step.finish()
    group.average_statistics(model)
    write(out, model, **figures)
    return model, [step, *batch]


def write(path: Path, model: keras.Model, **others: np.ndarray) -> None:
    """The weights of a model in the order that it has them, and its optimiser's."""
    values = {str(at): value_of(each) for at, each in enumerate(model.weights)}
    values |= {f"o{at}": value_of(each) for at, each in enumerate(model.optimizer.variables)}
    np.savez(path, **values, **others)


def talk(nodes: Nodes, out: Path) -> None:
    """All that a node does; what it writes ends in its number."""
    with joined(nodes, ALIKE, no_sign, print) as group:
        me = group.index
        model, (step, images, targets) = learn_the_same(group, out / f"same{me}.npz")
        step(images + me, targets)
        write(out / f"apart{me}.npz", model)
        group.average_statistics(model)
        write(out / f"mean{me}.npz", model)

        assert group.from_first([me + 0.1, -1e300]) == [0.1, -1e300]
        state = out / f"state{me}"
        if me == 0:
            state.write_bytes(bytes(range(7)))
        group.send_file(state)
        assert state.read_bytes() == bytes(range(7))
        group.send_file(out / "absent")
        variable = keras.Variable(np.full(3, me, "float32"))
        group.share([variable])
        assert not value_of(variable).any()

        stopped = group.watch(lambda: 15 * me)
        group.agree()
        assert stopped() == (15 if me else 2)
        try:
            group.compare({**ALIKE, "recipe": str(me)})
        except InputError as error:
            print(error)


if __name__ == "__main__":
    found = find_nodes(sys.argv[2], int(sys.argv[3]), {})
    assert found is not None
    talk(found, Path(sys.argv[1]))
