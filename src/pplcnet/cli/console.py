"""The terminal: shows progress on stderr and keeps frameworks quiet."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TextIO, TypeVar

from pplcnet.errors import MissingDependencyError, require
from pplcnet.system.progress import Watcher
from pplcnet.system.wording import printable

__all__ = ["Console", "quiet_frameworks", "quiet_litert", "without_chatter"]

if TYPE_CHECKING:
    from pplcnet.bundle.bundle import Bundle

Item = TypeVar("Item")

# Seconds. Short work shows nothing, which keeps logs and fast commands clean.
SPINNER_AFTER, LINE_AFTER = 0.5, 3.0
SPINNER_EVERY, LINE_EVERY = 0.15, 30.0
# Prefixes of the messages that TensorFlow, LiteRT and absl log.
_CHATTER = (
    b"INFO: ",
    b"WARNING:absl:",
    b"WARNING: All log messages before absl",
    b"W0000 ",
    b"I0000 ",
)


class Console(Watcher):
    """Lines and progress bars on stderr."""

    def say(self, line: str) -> None:
        """Print one line, clear of any progress bar."""
        from tqdm import tqdm

        tqdm.write(printable(line), file=sys.stderr)

    def watch(self, items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
        """The same items with a bar that shows rate and time left; none unless on a terminal."""
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

    def busy(self, text: str) -> contextlib.AbstractContextManager[None]:
        """A spinner with `text` and the seconds; without a terminal, a line every 30 seconds."""
        return _sign_of_life(text, sys.stderr)


@contextlib.contextmanager
def _sign_of_life(text: str, file: TextIO) -> Iterator[None]:
    done = threading.Event()
    show = _spin if file.isatty() else _write_lines
    thread = threading.Thread(target=show, args=(text, file, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _spin(text: str, file: TextIO, done: threading.Event) -> None:
    begun = time.monotonic()
    if done.wait(SPINNER_AFTER):
        return
    from tqdm import tqdm

    # If the terminal has gone away, work continues.
    with contextlib.suppress(OSError), tqdm(bar_format="{desc}", leave=False, file=file) as line:
        for mark in itertools.cycle("|/-\\"):
            line.set_description_str(f"{mark} {text} ({time.monotonic() - begun:.0f} s)")
            if done.wait(SPINNER_EVERY):
                return


def _write_lines(text: str, file: TextIO, done: threading.Event) -> None:
    begun = time.monotonic()
    if done.wait(LINE_AFTER):
        return
    with contextlib.suppress(OSError):
        print(text, file=file, flush=True)
        while not done.wait(LINE_EVERY):
            print(f"still {text} ({time.monotonic() - begun:.0f} s)", file=file, flush=True)


def quiet_frameworks(purpose: str = "training") -> None:
    """Import Keras without TensorFlow's start-up messages, which no setting turns off.

    Native code writes them before its logging is set up, so stderr is redirected meanwhile; the
    spinner goes to the real one. If the import fails, the messages are shown after all; if Keras is
    not installed, MissingDependencyError says what `purpose` needs.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    with (
        tempfile.TemporaryFile() as notes,
        _copy_of(terminal) as shown,
    ):
        os.dup2(notes.fileno(), 2)
        try:
            with _sign_of_life("loading Keras", shown):
                require("keras", purpose=purpose, extra="train")
            # TensorFlow warns about retraced graphs, which networks with many input sizes cause.
            logging.getLogger("tensorflow").setLevel(logging.ERROR)
        except (MissingDependencyError, KeyboardInterrupt):
            raise
        except BaseException:
            notes.seek(0)
            with contextlib.suppress(OSError):
                os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


@contextlib.contextmanager
def without_chatter(text: str) -> Iterator[None]:
    """Within the context, hide the messages of LiteRT and its converter; a spinner shows `text`.

    They come from native code and from logging set up on import, so stderr is redirected.
    Everything else written to it is shown afterwards.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes, _copy_of(terminal) as shown:
        os.dup2(notes.fileno(), 2)
        try:
            with _sign_of_life(text, shown):
                yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            notes.seek(0)
            rest = b"".join(line for line in notes if not line.startswith(_CHATTER))
            with contextlib.suppress(OSError):
                os.write(terminal, rest)
            os.close(terminal)


def quiet_litert(bundle: Bundle) -> None:
    """Load a bundle's LiteRT network, if it has one that runs here.

    LiteRT writes a note to stderr when a process loads its first network; it is hidden here.
    """
    variant = bundle.manifest.variants.get("litert")
    if variant is None or importlib.util.find_spec("ai_edge_litert") is None:
        return
    from pplcnet.runtime.engines import engine

    with without_chatter("loading LiteRT"):
        engine.open_engine("litert", bundle.read(str(variant["file"])))


@contextlib.contextmanager
def _copy_of(descriptor: int) -> Iterator[TextIO]:
    """Another file on the same descriptor; it is no error if nobody reads from it any more."""
    encoding = sys.stderr.encoding
    file = open(os.dup(descriptor), "w", encoding=encoding, errors="backslashreplace")  # noqa: SIM115
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            file.close()
