"""`pplcnet train` with networks of few blocks, for tests that need it in processes of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from pplcnet.cli.main import main
from tests.shallow import shallow_networks

if __name__ == "__main__":
    folder, *words = sys.argv[1:]
    if importlib.util.find_spec("ray") is not None:
        from pplcnet.jobs import ray_commands

        ray_commands.PROGRAM = ("tests.runs.train_shallow", folder)  # for those that it starts
    own = Path(folder, str(os.getpid()))
    own.parent.mkdir(exist_ok=True)
    with shallow_networks(own):
        code = main(words if words[:1] == ["train"] else ["train", *words])
    sys.exit(code)
