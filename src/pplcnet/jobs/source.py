"""The names of a job's photos: those in a folder, those in a list, or tar files of photos."""

from __future__ import annotations

import contextlib
import csv
import fnmatch
import glob
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pplcnet.data.image_files import NO_ENDING, PassedOver, find_images
from pplcnet.errors import InputError, require
from pplcnet.jobs.photo_names import is_photo
from pplcnet.jobs.storage import is_address, objects_module, open_storage
from pplcnet.system.csv_cells import original_path

__all__ = ["LIST_ENDINGS", "Source", "find_source", "list_names"]

FOLDER, LIST, TARS = "folder", "list", "tars"
TAR_ENDING = ".tar"
LIST_ENDINGS = (".csv", ".parquet", ".txt")
PATH_COLUMNS = ("path", "file", "filename", "image")
LIST_BATCH = 10_000
"""Rows of a Parquet list read at once."""


class Source(NamedTuple):
    """Where a job's photos come from."""

    kind: str
    """FOLDER, LIST or TARS."""
    place: str
    """Absolute path or address of the folder or list, or the pattern of the tar files."""
    root: str
    """What the names are relative to."""
    column: str = ""
    """The column with the names, for a CSV or Parquet list."""

    @property
    def is_sorted(self) -> bool:
        """Whether the plan sorts the names. A list keeps its order."""
        return self.kind != LIST

    @property
    def is_of_tars(self) -> bool:
        """Whether the names are tar files, each of which is a shard."""
        return self.kind == TARS

    def holds(self, place: str) -> bool:
        """Whether images written to a path or an address would be among the photos."""
        folder = self.place
        if not (is_address(place) or is_address(folder)):
            place, folder = os.path.realpath(place), os.path.realpath(folder)
        is_below = f"{place.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
        return self.kind == FOLDER and is_below


def find_source(given: str, column: str | None = None, root: str | None = None) -> Source:
    """Interpret the command line's SOURCE.

    Args:
        column: the column of a list with the names; None for one of PATH_COLUMNS.
        root: what the names in a list are relative to; None for the list's folder.

    Raises:
        InputError: it does not exist, or is nothing that a job can read.
    """
    source = _find(given, column)
    if not root:
        return source
    if source.kind != LIST:
        raise InputError(f"{given}: is not a list; --root is for lists.")
    return source._replace(root=root.rstrip("/") if is_address(root) else os.path.abspath(root))


def _find(given: str, column: str | None) -> Source:
    if is_address(given):
        return _source_at(given, column)
    path = Path(os.path.abspath(given))
    if path.is_dir():
        if column:
            raise InputError(f"{given}: is a folder; --column is for lists (.csv, .parquet).")
        return Source(FOLDER, str(path), str(path))
    if path.suffix.lower() == TAR_ENDING:
        if column:
            raise InputError(f"{given}: is of tar files; --column is for lists (.csv, .parquet).")
        pattern = glob.escape(str(path)) if path.is_file() else str(path)
        if next(glob.iglob(pattern, recursive=True), None) is None:
            raise InputError(f"{given}: no such tar files.")
        return Source(TARS, str(path), str(_fixed_part(path)))
    if not path.is_file():
        raise InputError(f"{given}: no such folder or list.")
    ending = path.suffix.lower()
    if ending not in LIST_ENDINGS:
        raise InputError(
            f"{given}: is neither a folder nor a list of names ({', '.join(LIST_ENDINGS)}), nor "
            f"does it end in {TAR_ENDING}."
        )
    if column and ending == ".txt":
        raise InputError(f"{given}: a .txt list has one name per line, and no columns.")
    return Source(LIST, str(path), str(path.parent), _column(path, column, str(path)))


def list_names(source: Source, passed_over: PassedOver) -> Iterator[bytes]:
    """Yield every name, in no particular order except for a list.

    Args:
        passed_over: counts files that are not photos; the job must report them.
    """
    if is_address(source.place) and source.kind != LIST:
        yield from _names_at(source, passed_over)
        return
    if source.kind == FOLDER:
        root = Path(source.place)
        for path in find_images(root, passed_over, in_order=False):
            yield os.fsencode(path.relative_to(root))
        return
    if source.kind == TARS:
        place = source.place
        pattern = glob.escape(place) if os.path.isfile(place) else place
        for found in glob.iglob(pattern, recursive=True):
            yield os.fsencode(os.path.relpath(found, source.root))
        return
    with _list_here(source.place) as path:
        read = {".csv": _in_csv, ".parquet": _in_parquet, ".txt": _in_text}[path.suffix.lower()]
        for name in read(path, source):
            if "\0" in name:
                raise InputError(f"{source.place}: holds a name with a zero byte: {name[:80]!r}.")
            yield name.encode("utf-8", "surrogateescape")


def _source_at(address: str, column: str | None) -> Source:
    """A source in object storage."""
    bucket, key = objects_module().split_address(address)
    place = f"{bucket}/{key}".rstrip("/")
    ending = PurePosixPath(key).suffix.lower()
    if ending in LIST_ENDINGS:
        with _list_here(place) as path:
            return Source(LIST, place, place.rpartition("/")[0], _column(path, column, place))
    if column:
        raise InputError(f"{address}: is not a list; --column is for lists (.csv, .parquet).")
    if ending != TAR_ENDING:
        return Source(FOLDER, place, place)
    fixed = key
    while glob.has_magic(fixed) or fixed == key:
        fixed = fixed.rpartition("/")[0]
    return Source(TARS, place, f"{bucket}/{fixed}".rstrip("/"))


def _names_at(source: Source, passed_over: PassedOver) -> Iterator[bytes]:
    objects = open_storage(source.root)
    pattern = source.place[len(source.root) + 1 :]
    for name in objects.all_names():  # type: ignore[attr-defined]
        if source.kind == TARS:
            if name == pattern or fnmatch.fnmatchcase(name, pattern):
                yield name.encode("utf-8", "surrogateescape")
        elif is_photo(name):
            yield name.encode("utf-8", "surrogateescape")
        else:
            passed_over.files[os.path.splitext(name)[1].lower() or NO_ENDING] += 1


@contextlib.contextmanager
def _list_here(place: str) -> Iterator[Path]:
    """A list as a local file."""
    if not is_address(place):
        yield Path(place)
        return
    folder, _, name = place.rpartition("/")
    content = open_storage(folder).read(name)
    if content is None:
        raise InputError(f"{place}: no such object.")
    with tempfile.TemporaryDirectory(prefix="pplcnet-list-") as local:
        path = Path(local, f"list{PurePosixPath(name).suffix.lower()}")
        path.write_bytes(content)
        yield path


def _fixed_part(pattern: Path) -> Path:
    """The deepest folder that contains everything a pattern can match."""
    folder = pattern.parent
    while glob.has_magic(str(folder)):
        folder = folder.parent
    return folder


def _column(path: Path, given: str | None, place: str) -> str:
    """The column with the names; `place` is the list's name in messages."""
    ending = path.suffix.lower()
    if ending == ".txt":
        return ""
    if ending == ".csv":
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            try:
                columns = next(csv.reader(file), [])
            except csv.Error as error:
                raise InputError(f"{place}, line 1: {error}.") from error
    else:
        columns = list(_parquet_file(path, place).schema_arrow.names)
    wanted = (given,) if given else PATH_COLUMNS
    found = next((each for each in wanted if each in columns), None)
    if found is None:
        raise InputError(
            f"{place}: has no column {' or '.join(map(repr, wanted))}, but "
            f"{', '.join(map(repr, columns[:20])) or 'none at all'}; name one with --column."
        )
    return found


def _in_text(path: Path, _: Source) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="\n") as file:
        for line in file:
            if name := line.rstrip("\r\n"):
                yield name


def _in_csv(path: Path, source: Source) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        at = next(rows).index(source.column)
        try:
            for row in rows:
                if len(row) > at and row[at]:
                    yield original_path(row[at])
        except csv.Error as error:
            raise InputError(f"{source.place}, line {rows.line_num}: {error}.") from error


def _in_parquet(path: Path, source: Source) -> Iterator[str]:
    file = _parquet_file(path, source.place)
    batches = file.iter_batches(LIST_BATCH, columns=[source.column])
    while True:
        with _unreadable_said(source.place):
            batch = next(batches, None)
            names = [] if batch is None else batch.column(0).to_pylist()
        if batch is None:
            return
        for name in names:
            if isinstance(name, bytes | str) and name:
                yield os.fsdecode(name)
            elif name is not None and name not in ("", b""):
                raise InputError(
                    f"{source.place}: column {source.column!r} holds {name!r:.80}, which is not "
                    "a name."
                )


def _parquet_file(path: Path, place: str) -> Any:
    parquet = require("pyarrow.parquet", purpose="reading .parquet files", extra="parquet")
    with _unreadable_said(place):
        return parquet.ParquetFile(path)


@contextlib.contextmanager
def _unreadable_said(place: str) -> Iterator[None]:
    """Within the context, reading a damaged Parquet file raises an InputError that names it.

    Text in it that is not UTF-8 also counts as damage; pyarrow reports it as a ValueError.
    """
    try:
        yield
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{place}: is not a readable Parquet file ({error}).") from error
