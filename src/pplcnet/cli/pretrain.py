"""Pretrain a network on pictures drawn by formulas, as a starting point for training on photos.

The network learns to tell drawn fractals, contours and textures apart; no photo and no download is
needed. 'pplcnet train PHOTOS --model NAME --weights FILE' then starts from the file in --out. The
same network, seed and number of views give the same file on the same backend with the same number
of threads. Ctrl-C stops and keeps what was learned.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from pplcnet.cli.arguments import number, whole
from pplcnet.cli.console import Console, quiet_frameworks
from pplcnet.cli.output import show
from pplcnet.errors import InputError
from pplcnet.models import catalog
from pplcnet.pretraining.plan import Plan
from pplcnet.system.files import check_file
from pplcnet.system.wording import counted

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    plan = Plan()
    parser.add_argument(
        "--model",
        default="pplcnet_x1_0",
        metavar="NAME",
        help="the network, as 'pplcnet models' lists them. Default: pplcnet_x1_0",
    )
    parser.add_argument("--out", required=True, metavar="FILE.npz", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file in --out")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--views",
        type=whole(1, 10**9),
        metavar="N",
        help=f"pictures to train on, each drawn once. Default: {plan.views:,}",
    )
    length.add_argument(
        "--minutes",
        type=number(0.1, 100_000),
        metavar="M",
        help="as many views as this machine can train on in about this time; the number is shown, "
        "and giving it as --views makes the same file",
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**31 - 1), default=plan.seed, metavar="N", help="default: 0"
    )
    parser.add_argument(
        "--rate",
        type=number(1e-5, 10),
        default=plan.rate,
        metavar="R",
        help=f"the highest learning rate. Default: {plan.rate:g}",
    )
    parser.add_argument(
        "--batchnorm-scale",
        type=number(0.01, 1),
        default=plan.batchnorm_scale,
        metavar="S",
        help="initial BatchNorm scale before hard-swish; below 1, deep networks start to learn "
        f"sooner. Default: {plan.batchnorm_scale:g}",
    )


def run(arguments: argparse.Namespace) -> int:
    """Pretrain, and show how to use the file."""
    network, out = catalog.find(arguments.model).name, Path(arguments.out)
    if out.suffix != ".npz":
        raise InputError(f"{out}: the file to write must end in .npz.")
    if out.exists() and not arguments.overwrite:
        raise InputError(f"{out}: already exists; choose another name, or add --overwrite.")
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out.parent}: no such folder; create it first.")
    check_file(out)
    plan = Plan(
        views=arguments.views or Plan.views,
        seed=arguments.seed,
        rate=arguments.rate,
        batchnorm_scale=arguments.batchnorm_scale,
    )
    quiet_frameworks("pretraining")
    from pplcnet.pretraining.pretrain import pretrain, views_in

    console = Console()
    if arguments.minutes is not None:
        with console.busy("measuring the speed of this machine"):
            plan = replace(plan, views=views_in(network, plan, arguments.minutes * 60))
        console.say(f"--minutes {arguments.minutes:g}: the same as --views {plan.views}")
    done = pretrain(network, out, plan, report=console.say, busy=console.busy)
    show(f"backbone  {done.path}: {network}, {counted(done.views, 'view')}")
    use = ["pplcnet", "train", "PHOTOS", "--model", network, "--weights", str(done.path)]
    show(f"use it    {shlex.join(use)}")
    return 128 + done.signal if done.signal else 0
