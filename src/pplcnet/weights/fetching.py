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

from pplcnet.cache import cache_folder
from pplcnet.errors import WeightsError, require
from pplcnet.weights.sources import TAGS, Source, find_source

__all__ = ["fetch", "weights_path"]

ATTEMPTS = 4
TIMEOUT_S = 20.0
CHUNK = 1 << 16
# The largest official file has 44 MB; a page that never ends must not fill the disk.
SIZE_LIMIT = 1 << 30
# Request timeout and too many requests: the next attempt may succeed.
RETRIED = (408, 429)


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
                _record(recorded, sha256(target.read_bytes()).hexdigest())
    digest = sha256(target.read_bytes()).hexdigest()
    expected = source.sha256 or (recorded.read_text().strip() if recorded.is_file() else "")
    if not expected:  # put there by hand, as the message below advises
        _record(recorded, digest)
    elif digest != expected:
        raise WeightsError(
            f"{target}: is not the file that it should be (sha256 {digest[:12]}..., expected "
            f"{expected[:12]}...); delete it to download it again."
        )
    return target


def _record(path: Path, digest: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(f"{digest}\n")
    os.replace(temporary, path)


def _address(source: Source) -> str:
    mirror = os.environ.get("PPLCNET_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{source.address.rpartition('/')[2]}"
    return source.address


def _download(requests: Any, address: str, target: Path, pause_s: float) -> None:
    partial = target.with_name(f"{target.name}.partial")
    problem, final = "", False
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            problem, final = _continue(requests, address, partial)
        except requests.RequestException as error:
            problem = f"{type(error).__name__}: {error}"
        if not problem:
            os.replace(partial, target)
            _mark_of(partial).unlink(missing_ok=True)
            return
        if final:
            break  # asking again would not change it
    raise WeightsError(
        f"{address} cannot be downloaded ({problem}). Download it by other means and put it at "
        f"{target}, or name a mirror in PPLCNET_MIRROR."
    )


def _mark_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _question(have: int, mark: Path) -> dict[str, str]:
    # Packed on the way, lengths and ranges would not be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if mark.is_file():  # only the rest of the same file (RFC 9110, 13.1.5)
            headers["If-Range"] = mark.read_text()
    return headers


def _refusal(answer: Any, have: int, partial: Path) -> tuple[str, bool]:
    """What is wrong with an answer's head ("" when nothing is), and whether to give up at once."""
    status = answer.status_code
    if have and status == 416:  # nothing is left to send, or it is another file
        partial.unlink()
        return "the server has not the rest of the file", False
    if status not in (200, 206):
        return f"the server answered {status}", 400 <= status < 500 and status not in RETRIED
    if "html" in answer.headers.get("Content-Type", ""):
        return "the server answered with a web page in place of the file", False
    part = answer.headers.get("Content-Range", "")
    if status == 206 and part and not part.startswith(f"bytes {have}-"):
        partial.unlink(missing_ok=True)
        return f"the server sent another part than was asked for ({part})", False
    return "", False


def _continue(requests: Any, address: str, partial: Path) -> tuple[str, bool]:
    """Go on with a download where it stopped.

    Returns what went wrong ("" when the file is complete), and whether to give up at once.
    """
    from tqdm import tqdm

    mark = _mark_of(partial)
    have = partial.stat().st_size if partial.is_file() else 0
    headers = _question(have, mark)
    with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        problem, final = _refusal(answer, have, partial)
        if problem:
            return problem, final
        if answer.status_code == 200:
            have = 0  # the server sends everything again
            etag = answer.headers.get("ETag", "")
            if etag and not etag.startswith("W/"):
                mark.write_text(etag)
            else:
                mark.unlink(missing_ok=True)
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        if (total or 0) > SIZE_LIMIT:
            return f"the file has {total:,} bytes, at most {SIZE_LIMIT:,} are taken", True
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
                    break
        if have > SIZE_LIMIT:
            partial.unlink()
            return f"the file has more than {SIZE_LIMIT:,} bytes", True
        if total is not None and have != total:
            return f"the connection ended after {have:,} of {total:,} bytes", False
    return "", False
