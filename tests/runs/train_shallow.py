"""`pplcnet train` with networks of few blocks, for tests that need it in processes of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from pplcnet.cli.main import main
from tests.shallow import shallow_networks

if __name__ == "__main__":
    with shallow_networks(Path(sys.argv[1])):
        code = main(["train", *sys.argv[2:]])
    sys.exit(code)
