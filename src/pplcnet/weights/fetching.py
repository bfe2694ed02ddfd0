"""Download a file once: resumed, retried, checked, and safe beside other processes.

The cache is `PPLCNET_CACHE`, or the user's cache folder. `PPLCNET_MIRROR` replaces the address of
every source: its files are asked for by name below that address.
"""

from __future__ import annotations

import os
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from pplcnet.errors import WeightsError, require
from pplcnet.weights.sources import TAGS, Source, find_source

__all__ = ["cache_folder", "fetch", "weights_path"]

ATTEMPTS = 4
TIMEOUT_S = 20.0
CHUNK = 1 << 16
# The largest official file has 44 MB; a page that never ends must not fill the disk.
SIZE_LIMIT = 1 << 30


def cache_folder() -> Path:
    """Where downloads and converted bundles are kept."""
    given = os.environ.get("PPLCNET_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pplcnet"


def weights_path(network: str, weights: str | os.PathLike[str]) -> Path:
    """The file that is meant: a path, or a kind of official weights, downloaded if need be.

    Raises:
        WeightsError: no such file, or as `fetch`.
    """
    if weights in TAGS:
        return fetch(find_source(network, str(weights)))
    path = Path(weights)
    if not path.exists():
        raise WeightsError(f"{path}: no such weights file, nor one of the kinds {', '.join(TAGS)}.")
    return path


def fetch(source: Source, *, pause_s: float = 1.0) -> Path:
    """The source's file in the cache, downloaded if it is not there yet.

    A sha256 that is known is compared; one that is not is recorded at the first download, and
    compared from then on.

    Args:
        pause_s: seconds before the second attempt; doubled for each further one.

    Raises:
        WeightsError: no connection, or another file than expected; it names the address and where
            a file downloaded by other means has to be put.
        MissingDependencyError: the libraries that download are not installed.
    """
    folder = cache_folder() / "weights"
    target = folder / source.file_name
    recorded = target.with_name(f"{target.name}.sha256")
    if not target.is_file():
        requests = require("requests", purpose="downloading weights", extra="train")
        filelock = require("filelock", purpose="downloading weights", extra="train")
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock"):
            if not target.is_file():  # another process may have been faster
                recorded.unlink(missing_ok=True)  # of a file that has been deleted since
                _download(requests, _address(source), target, pause_s)
    digest = sha256(target.read_bytes()).hexdigest()
    expected = source.sha256 or (recorded.read_text().strip() if recorded.is_file() else "")
    if not expected:
        recorded.write_text(f"{digest}\n")
    elif digest != expected:
        raise WeightsError(
            f"{target}: is not the file that it should be (sha256 {digest[:12]}..., expected "
            f"{expected[:12]}...); delete it to download it again."
        )
    return target


def _address(source: Source) -> str:
    mirror = os.environ.get("PPLCNET_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{source.address.rpartition('/')[2]}"
    return source.address


def _download(requests: Any, address: str, target: Path, pause_s: float) -> None:
    partial = target.with_name(f"{target.name}.partial")
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            problem = _continue(requests, address, partial)
        except requests.RequestException as error:
            problem = f"{type(error).__name__}: {error}"
        if not problem:
            os.replace(partial, target)
            return
        if problem.startswith("the server answered 4"):
            break  # asking again would not change it
    raise WeightsError(
        f"{address} cannot be downloaded ({problem}). Download it by other means and put it at "
        f"{target}, or name a mirror in PPLCNET_MIRROR."
    )


def _continue(requests: Any, address: str, partial: Path) -> str:
    """Go on with a download where it stopped; what went wrong, or "" when it is complete."""
    from tqdm import tqdm

    have = partial.stat().st_size if partial.is_file() else 0
    # Packed on the way, lengths and ranges would not be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if have and answer.status_code == 416:  # nothing is left to send, or it is another file
            partial.unlink()
            return "the server has not the rest of the file"
        if answer.status_code not in (200, 206):
            return f"the server answered {answer.status_code}"
        if "html" in answer.headers.get("Content-Type", ""):
            return "the server answered with a web page in place of the file"
        if answer.status_code == 200:
            have = 0  # the server sends everything again
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        if (total or 0) > SIZE_LIMIT:
            return f"the file has {total:,} bytes, at most {SIZE_LIMIT:,} are taken"
        with (
            partial.open("ab" if have else "wb") as file,
            tqdm(
                total=total, initial=have, unit="B", unit_scale=True, disable=None,
                desc=address.rpartition("/")[2], file=sys.stderr, leave=False,
            ) as bar,
        ):  # fmt: skip
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
                if have > SIZE_LIMIT:
                    return f"the file has more than {SIZE_LIMIT:,} bytes"
        if total is not None and have != total:
            return f"the connection ended after {have:,} of {total:,} bytes"
    return ""
