"""What the verbs share on the terminal: progress on stderr, and quiet frameworks."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterable
from typing import TypeVar

from pplcnet.errors import MissingDependencyError, require
from pplcnet.progress import Watcher

__all__ = ["Console", "quiet_frameworks"]

Item = TypeVar("Item")


class Console(Watcher):
    """Lines and progress bars on stderr."""

    def say(self, line: str) -> None:
        """One line, clear of any progress bar."""
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)

    def watch(self, items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
        """The same items with a bar that shows rate and time left; none when not a terminal."""
        from tqdm import tqdm

        return tqdm(
            items,
            total=total,
            desc=what,
            unit=" images",
            leave=False,
            disable=None,
            file=sys.stderr,
        )


def quiet_frameworks(purpose: str = "training") -> None:
    """Import Keras without TensorFlow's start-up notes, which no setting keeps off the terminal.

    The notes come from native code before its logging is set up, so the terminal itself is put
    aside meanwhile. When the import fails, they are shown after all; when Keras is not there,
    MissingDependencyError says what `purpose` needs.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            require("keras", purpose=purpose, extra="train")
            # TensorFlow warns of graphs traced anew, which small networks of all sizes are.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
        except MissingDependencyError:
            raise
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
