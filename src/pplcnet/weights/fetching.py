"""Downloads a file once: resumable, retried, checked, and safe with concurrent processes.

The cache is `PPLCNET_CACHE`, or the user's cache folder. `PPLCNET_MIRROR` replaces the address of
every source: its files are requested by name below that address. With `PPLCNET_OFFLINE=1` nothing
is downloaded; only files in the cache are used.
"""

from __future__ import annotations

import os
import re
import sys
import time
from hashlib import sha256
from pathlib import Path

from pplcnet.errors import WeightsError
from pplcnet.models.catalog import backbone_of
from pplcnet.system.cache import cache_folder
from pplcnet.system.files import write_text
from pplcnet.system.locking import locked
from pplcnet.weights.backbones import FRACTAL, backbone_path, shipped_networks
from pplcnet.weights.connection_failures import describe_status
from pplcnet.weights.downloading import (
    PATIENT,
    DownloadError,
    Patience,
    Response,
    ask,
    content_length,
)
from pplcnet.weights.sources import TAGS, Source, find_source

__all__ = ["fetch", "local_path", "weights_path"]

# The largest official file is 44 MB; a response that never ends must not fill the disk.
SIZE_LIMIT = 1 << 30
# Request timeout and too many requests: the next attempt may succeed.
RETRIED = (408, 429)


def weights_path(network: str, weights: str | os.PathLike[str]) -> Path:
    """The path of a weights file; official weights (such as "imagenet") are downloaded if needed.

    Raises:
        WeightsError: no such file, no shipped backbone ("fractal"), or as `fetch`.
    """
    if weights == FRACTAL:
        return backbone_path(backbone_of(network).name)
    if weights in TAGS:
        return fetch(find_source(network, str(weights)))
    path = Path(weights)
    if not path.exists():
        raise WeightsError(
            f"{path}: no such weights file, and not one of {', '.join((*TAGS, FRACTAL))}."
        )
    return path


def local_path(network: str, weights: str | os.PathLike[str]) -> Path | None:
    """The path of a weights file that is already here, else None; no download and no check."""
    if weights == FRACTAL:
        backbone = backbone_of(network).name
        return backbone_path(backbone) if backbone in shipped_networks() else None
    path = _target(find_source(network, str(weights))) if weights in TAGS else Path(weights)
    return path if path.exists() else None


def _target(source: Source) -> Path:
    return cache_folder() / "weights" / source.file_name


def fetch(source: Source, *, pause_s: float = 1.0, patience: Patience = PATIENT) -> Path:
    """The source's file in the cache, downloaded if it is not there yet.

    A known sha256 is checked. Otherwise the sha256 is recorded at the first download, after the
    file has been read as weights of that network, and checked from then on.

    Args:
        pause_s: seconds before the second attempt; doubled for each further one.
        patience: how long to wait for the server and for other processes.

    Raises:
        WeightsError: no connection, `PPLCNET_OFFLINE`, or not the expected file; the message names
            the address and where to put a file downloaded by other means.
        InputError: the cache cannot be written to, or another process keeps it locked.
    """
    target = _target(source)
    recorded = target.with_name(f"{target.name}.sha256")
    if not target.is_file():
        if os.environ.get("PPLCNET_OFFLINE", "0") not in ("", "0"):
            raise _unavailable(source, target, "PPLCNET_OFFLINE is set")
        with locked(target, is_file=True, wait=patience.lock_s):
            if not target.is_file():  # another process may have been faster
                recorded.unlink(missing_ok=True)  # of a file that has been deleted since
                _download(source, target, pause_s, patience)
                write_text(recorded, f"{_digest(target)}\n")
    digest = _digest(target)
    expected = source.sha256 or (recorded.read_text().strip() if recorded.is_file() else "")
    if not expected:  # put there by hand, as the message below suggests
        if problem := _fault(source, target):
            raise WeightsError(f"{target}: {problem}; delete it, or put the right file there.")
        write_text(recorded, f"{digest}\n")
    elif digest != expected:
        raise WeightsError(
            f"{target}: is not the expected file (sha256 {digest[:12]}..., expected "
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


def _download(source: Source, target: Path, pause_s: float, patience: Patience) -> None:
    address = _address(source)
    # It stays after a failure, to be resumed. The extension chooses the reader.
    partial = target.with_name(f".partial-{target.name}")
    problem = ""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(pause_s * 2 ** (attempt - 1))
        try:
            _continue(address, partial, patience)
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
                f"{partial}: cannot be written ({error.strerror}); free some space, or set "
                "PPLCNET_CACHE to another folder."
            ) from error
    raise _unavailable(source, target, problem)


def _unavailable(source: Source, target: Path, problem: str) -> WeightsError:
    return WeightsError(
        f"{_address(source)} cannot be downloaded ({problem}). Download it by other means and save "
        f"it as {target}, or set PPLCNET_MIRROR to a mirror."
    )


def _fault(source: Source, path: Path) -> str:
    """What is wrong with a file as the source's weights; "" when nothing is."""
    from pplcnet.weights.recognition import fault_of

    if source.sha256:
        return "" if _digest(path) == source.sha256 else "its sha256 is not the published one"
    return fault_of(path, source.network)


def _mark_of(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.mark")


def _resumption(partial: Path) -> tuple[int, dict[str, str]]:
    """The byte to continue at, and the headers of the request."""
    # With compression in transit, lengths and ranges would not be the file's.
    headers = {"Accept-Encoding": "identity", "User-Agent": "pplcnet"}
    mark = _mark_of(partial)
    if not (partial.is_file() and mark.is_file()):
        return 0, headers
    have = partial.stat().st_size
    if have:  # only the rest of the same file (RFC 9110, 13.1.5)
        headers |= {"Range": f"bytes={have}-", "If-Range": mark.read_text()}
    return have, headers


def _check_head(response: Response, have: int, partial: Path) -> int | None:
    """The size of the whole file, None if it is not stated; DownloadError for a wrong response."""
    status, headers = response.status, response.headers
    if have and status == 416:  # nothing is left to send, or the file has changed
        partial.unlink()
        raise DownloadError("the server does not have the rest of the file")
    if status not in (200, 206):
        final = 400 <= status < 500 and status not in RETRIED
        raise DownloadError(describe_status(status), final=final)
    if "html" in (headers.get("Content-Type") or ""):
        raise DownloadError("the server answered with a web page instead of the file")
    packed = headers.get("Content-Encoding") or "identity"
    if packed.strip().lower() != "identity":
        raise DownloadError(f"the server compresses the file ({packed[:20]})", final=True)
    length = content_length(headers)
    if status == 200:
        return length
    part = headers.get("Content-Range") or ""
    match = re.fullmatch(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", part, re.ASCII)
    first, last, total = match.groups() if match else ("", "", "")
    if not have or first != str(have) or (length or int(last) + 1 - have) != int(last) + 1 - have:
        partial.unlink(missing_ok=True)
        raise DownloadError(f"the server sent a part that was not requested ({part[:40]})")
    return int(last) + 1 if total == "*" else int(total)


def _continue(address: str, partial: Path, patience: Patience) -> None:
    """Resume a download where it stopped; DownloadError if it is still incomplete."""
    from tqdm import tqdm

    have, headers = _resumption(partial)
    response = ask(address, headers, patience)
    total = _check_head(response, have, partial)
    if response.status == 200:
        have = 0  # the server sends everything again
        _note(response, _mark_of(partial))
    if (total or 0) > SIZE_LIMIT:
        raise DownloadError(
            f"the file has {total:,} bytes, at most {SIZE_LIMIT:,} are allowed", final=True
        )
    with (
        partial.open("ab" if have else "wb") as file,
        tqdm(
            total=total, initial=have, unit="B", unit_scale=True, disable=None,
            desc=address.rpartition("/")[2], file=sys.stderr, leave=False,
        ) as bar,
    ):  # fmt: skip
        for chunk in response.chunks:
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


def _note(response: Response, mark: Path) -> None:
    """Store what identifies this version of the file, so that a download can resume it later."""
    etag = response.headers.get("ETag") or ""
    is_strong = etag and not etag.startswith("W/")
    validator = etag if is_strong else response.headers.get("Last-Modified")
    if validator and validator.isprintable():
        # A half-written mark matches no version: the server then sends the whole file.
        mark.write_text(validator, encoding="latin-1", errors="replace")
    else:
        mark.unlink(missing_ok=True)
