"""Download a file once: resumed, retried, checked, and safe beside other processes.

The cache is `PPLCNET_CACHE`, or the user's cache folder. `PPLCNET_MIRROR` replaces the address of
every source: its files are asked for by name below that address.
"""

from __future__ import annotations

import os
import re
import sys
import time
from hashlib import sha256
from pathlib import Path

from pplcnet.errors import WeightsError
from pplcnet.system.cache import cache_folder
from pplcnet.system.files import write_text
from pplcnet.system.locking import locked
from pplcnet.weights.downloading import Answer, DownloadError, ask, content_length
from pplcnet.weights.sources import TAGS, Source, find_source

__all__ = ["fetch", "weights_path"]

ATTEMPTS = 4
# The largest official file has 44 MB; a page that never ends must not fill the disk.
SIZE_LIMIT = 1 << 30
# How long another process may take to download the same file.
LOCK_WAIT_S = 4000.0
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

    A sha256 that is known is compared. One that is not is recorded at the first download, after
    the file has been read as weights of that network, and compared from then on.

    Args:
        pause_s: seconds before the second attempt; doubled for each further one.

    Raises:
        WeightsError: no connection, or another file than expected; it names the address and where
            a file downloaded by other means has to be put.
    """
    folder = cache_folder() / "weights"
    target = folder / source.file_name
    recorded = target.with_name(f"{target.name}.sha256")
    if not target.is_file():
        with locked(target, is_file=True, wait=LOCK_WAIT_S):
            if not target.is_file():  # another process may have been faster
                recorded.unlink(missing_ok=True)  # of a file that has been deleted since
                _download(source, target, pause_s)
                write_text(recorded, f"{_digest(target)}\n")
    digest = _digest(target)
    expected = source.sha256 or (recorded.read_text().strip() if recorded.is_file() else "")
    if not expected:  # put there by hand, as the message below advises
        if problem := _fault(source, target):
            raise WeightsError(f"{target}: {problem}; delete it, or put the right file there.")
        write_text(recorded, f"{digest}\n")
    elif digest != expected:
        raise WeightsError(
            f"{target}: is not the file that it should be (sha256 {digest[:12]}..., expected "
            f"{expected[:12]}...); delete it to download it again."
        )
    return target


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return sha256(file.read()).hexdigest()


def _address(source: Source) -> str:
    mirror = os.environ.get("PPLCNET_MIRROR")
    if mirror:
        return f"{mirror.rstrip('/')}/{source.address.rpartition('/')[2]}"
    return source.address


def _download(source: Source, target: Path, pause_s: float) -> None:
    address = _address(source)
    # It stays after a failure, to be continued. The ending of the file tells its reader.
    partial = target.with_name(f".partial-{target.name}")
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            _continue(address, partial)
            problem = _fault(source, partial)
            if problem:
                partial.unlink()
                _mark_of(partial).unlink(missing_ok=True)
                continue
            os.replace(partial, target)
            _mark_of(partial).unlink(missing_ok=True)
            return
        except DownloadError as error:
            problem = str(error)
            if error.final:
                break
        except OSError as error:
            raise WeightsError(
                f"{partial}: cannot be written ({error.strerror}); free some space, or name "
                "another folder in PPLCNET_CACHE."
            ) from error
    raise WeightsError(
        f"{address} cannot be downloaded ({problem}). Download it by other means and put it at "
        f"{target}, or name a mirror in PPLCNET_MIRROR."
    )


def _fault(source: Source, path: Path) -> str:
    """Why a file is not to be trusted as the source's weights; "" when it is."""
    from pplcnet.weights.recognition import fault_of

    if source.sha256:
        return "" if _digest(path) == source.sha256 else "its sha256 is not the published one"
    return fault_of(path, source.network)


def _mark_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.mark")


def _question(partial: Path) -> tuple[int, dict[str, str]]:
    """Where to go on, and the headers to ask with."""
    # Packed on the way, lengths and ranges would not be those of the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": "pplcnet"}
    mark = _mark_of(partial)
    if not (partial.is_file() and mark.is_file()):
        return 0, headers
    have = partial.stat().st_size
    if have:  # only the rest of the same file (RFC 9110, 13.1.5)
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text()}
    return have, headers


def _check_head(answer: Answer, have: int, partial: Path) -> int | None:
    """The size of the whole file, None where it is not said; DownloadError for a wrong answer."""
    status, headers = answer.status, answer.headers
    if have and status == 416:  # nothing is left to send, or it is another file
        partial.unlink()
        raise DownloadError("the server does not have the rest of the file")
    if status not in (200, 206):
        final = 400 <= status < 500 and status not in RETRIED
        raise DownloadError(f"the server answered {status}", final=final)
    if "html" in (headers.get("Content-Type") or ""):
        raise DownloadError("the server answered with a web page instead of the file")
    packed = headers.get("Content-Encoding") or "identity"
    if packed.strip().lower() != "identity":
        raise DownloadError(f"the server packs the file ({packed[:20]})", final=True)
    length = content_length(headers)
    if status == 200:
        return length
    part = headers.get("Content-Range") or ""
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", part, re.ASCII)
    first, last, total = match.groups() if match else ("", "", "")
    if not have or first != str(have) or (length or int(last) + 1 - have) != int(last) + 1 - have:
        partial.unlink(missing_ok=True)
        raise DownloadError(f"the server sent another part than was asked for ({part[:40]})")
    return int(last) + 1 if total == "*" else int(total)


def _continue(address: str, partial: Path) -> None:
    """Go on with a download where it stopped; DownloadError when it is not complete afterwards."""
    from tqdm import tqdm

    have, headers = _question(partial)
    answer = ask(address, headers)
    total = _check_head(answer, have, partial)
    if answer.status == 200:
        have = 0  # the server sends everything again
        _note(answer, _mark_of(partial))
    if (total or 0) > SIZE_LIMIT:
        raise DownloadError(
            f"the file has {total:,} bytes, at most {SIZE_LIMIT:,} are taken", final=True
        )
    with (
        partial.open("ab" if have else "wb") as file,
        tqdm(
            total=total, initial=have, unit="B", unit_scale=True, disable=None,
            desc=address.rpartition("/")[2], file=sys.stderr, leave=False,
        ) as bar,
    ):  # fmt: skip
        for chunk in answer.chunks:
            file.write(chunk)
            have += len(chunk)
            bar.update(len(chunk))
            if have > SIZE_LIMIT:
                break
    if have > SIZE_LIMIT:
        partial.unlink()
        raise DownloadError(f"the file has more than {SIZE_LIMIT:,} bytes", final=True)
    if total is not None and have != total:
        if have > total:
            partial.unlink()
        raise DownloadError(f"the connection ended after {have:,} of {total:,} bytes")


def _note(answer: Answer, mark: Path) -> None:
    """Keep what tells this version of the file from another, so that the rest can be asked for."""
    etag = answer.headers.get("ETag") or ""
    told = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
    if told and told.isprintable():
        # Half a mark is that of no version: the server then sends the whole file.
        mark.write_text(told, encoding="latin-1", errors="replace")
    else:
        mark.unlink(missing_ok=True)
