"""Turn engines' exceptions, which are of many kinds and pages long, into one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pplcnet.errors import BundleError, PPLCNetError, printable
from pplcnet.system.processor import processor_name

__all__ = ["clear_errors", "one_sentence"]

LONGEST = 200
# Lines that say where in the engine's source it failed, not why.
PLACES = re.compile(r"^(Exception from |Check '.*' failed|\[.*\] *:?[A-Z_]+ *: *\d+ *: *$)")
NO_KERNEL = "No suitable implementations"


@contextmanager
def clear_errors(engine: str, doing: str, precision: str = "float32") -> Iterator[None]:
    """Turn exceptions of an engine into a BundleError of one sentence.

    Args:
        engine: its name ("ONNX Runtime").
        doing: the action that failed ("load").
        precision: as in `open_engine`.
    """
    try:
        yield
    except (PPLCNetError, MemoryError):
        raise
    except Exception as error:  # engines have no common or public exception class
        if NO_KERNEL in str(error):
            raise BundleError(
                f"{engine} has no {precision} kernels for this network on this processor "
                f"({processor_name()})."
            ) from error
        raise BundleError(f"{engine} cannot {doing} this network: {one_sentence(error)}") from error


def one_sentence(error: Exception) -> str:
    """The line of an exception's text that says what is wrong, else its class."""
    lines = [line.strip() for line in re.split(r"\n|\\n", str(error))]
    telling = [line for line in lines if line and not PLACES.match(line)]
    text = printable(telling[0].split("This may indicate")[0].strip()) if telling else ""
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f"{text.rstrip('.') or type(error).__name__}."
