"""The bundle: everything about a trained classifier in one folder, or the same packed as .zip.

`manifest.json` says what is in it: the classes, the preprocessing, the network, every file with
its sha256, and for every variant what was measured. A bundle is data: nothing in it is executed
when it is opened, and every byte is checked against the manifest before it is used.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Self

from pplcnet.errors import BundleError
from pplcnet.preprocessing import Preprocessing
from pplcnet.writable import check_writable

__all__ = ["FORMAT_VERSION", "Bundle", "Manifest", "check_place", "update_bundle", "write_bundle"]

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MANIFEST_LIMIT = 64 << 20
FILE_LIMIT = 2 << 30


@dataclass(frozen=True)
class Manifest:
    """What a bundle says about itself."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    network: dict[str, Any]
    """`name` in the catalog and the `options` to build it with."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """File name to `sha256` and `bytes`."""
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Variant name ("keras", "onnx") to its `file` and what was measured of it."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Data set digest, split, recipe, versions, source of the weights."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """"temperature" that logits are divided by, and what it was fitted on."""
    tuning: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Processor to what `pplcnet tune` measured there and which way of running it chose."""
    task: str = "single"
    """"single": a photo has one class (softmax); "multi": any number of them (a sigmoid each)."""
    thresholds: dict[str, float] = field(default_factory=dict)
    """Of the task "multi": from which probability on a class is on the photo; 0.5 if absent."""

    @property
    def temperature(self) -> float:
        """What logits are divided by before softmax or sigmoid; 1 where nothing was fitted."""
        return float(self.calibration.get("temperature", 1.0))

    @property
    def cuts(self) -> tuple[float, ...] | None:
        """The thresholds in the order of the classes; None for the task "single"."""
        if self.task == "single":
            return None
        return tuple(self.thresholds.get(name, 0.5) for name in self.classes)

    def to_json(self) -> str:
        """The manifest as the text of `manifest.json`."""
        return json.dumps(
            {
                "format": "pplcnet bundle",
                "format_version": FORMAT_VERSION,
                "classes": list(self.classes),
                "task": self.task,
                **({"thresholds": self.thresholds} if self.thresholds else {}),
                "input": {
                    "shape": ["N", *self.preprocessing.image_size, 3],
                    "dtype": "uint8",
                    "meaning": "RGB",
                },
                "output": {"shape": ["N", len(self.classes)], "meaning": "logits"},
                "preprocessing": self.preprocessing.to_dict(),
                "network": self.network,
                "variants": self.variants,
                "provenance": self.provenance,
                **({"calibration": self.calibration} if self.calibration else {}),
                **({"tuning": self.tuning} if self.tuning else {}),
                "files": self.files,
            },
            indent=2,
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str, source: str) -> Manifest:
        """Parse and check; BundleError says what is wrong with `source`."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source}: {MANIFEST} is not readable JSON ({error}).") from error
        if not isinstance(values, dict) or values.get("format") != "pplcnet bundle":
            raise BundleError(f"{source}: {MANIFEST} is not that of a pplcnet bundle.")
        version = values.get("format_version")
        if not isinstance(version, int) or version < 1:
            raise BundleError(f"{source}: its format version is {version!r}.")
        if version > FORMAT_VERSION:
            raise BundleError(
                f"{source}: its format version is {version}, this pplcnet reads up to "
                f"{FORMAT_VERSION}; install a newer pplcnet."
            )
        try:
            return cls._from_values(values)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BundleError(f"{source}: {MANIFEST} is incomplete or wrong ({error}).") from error

    @classmethod
    def _from_values(cls, values: Mapping[str, Any]) -> Manifest:
        classes = tuple(values["classes"])
        if not classes or not all(isinstance(each, str) for each in classes):
            raise TypeError("classes must be names")
        files = dict(values["files"])
        for name, facts in files.items():
            if not _is_plain(name) or not isinstance(facts["sha256"], str):
                raise TypeError(f"file name {name!r}")
        variants = dict(values["variants"])
        for name, variant in variants.items():
            if variant["file"] not in files:
                raise KeyError(f"variant {name!r} names a file that is not listed")
        calibration = dict(values.get("calibration", {}))
        if not 0 < float(calibration.get("temperature", 1.0)) < float("inf"):
            raise ValueError(f"temperature {calibration['temperature']!r}")
        task, thresholds = values.get("task", "single"), dict(values.get("thresholds", {}))
        in_range = all(name in classes and 0 <= each <= 1 for name, each in thresholds.items())
        if task not in ("single", "multi") or not in_range:
            raise ValueError(f"task {task!r} with thresholds {thresholds}")
        return cls(
            classes=classes,
            task=task,
            thresholds=thresholds,
            calibration=calibration,
            preprocessing=Preprocessing.from_dict(values["preprocessing"]),
            network=dict(values["network"]),
            files=files,
            variants=variants,
            provenance=dict(values["provenance"]),
            tuning={name: dict(facts) for name, facts in values.get("tuning", {}).items()},
        )


class Bundle:
    """An opened bundle; files are read, and checked, when they are asked for."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Self:
        """Open a bundle folder or .zip; BundleError says what is wrong with it."""
        path = Path(path)
        if path.is_dir() and not (path / MANIFEST).is_file():
            recover_interrupted_write(path)
        if not path.exists():
            recover_interrupted_write(path)
        if not path.exists():
            raise BundleError(f"{path}: no such bundle.")
        text = _read_member(path, MANIFEST, MANIFEST_LIMIT)
        try:
            return cls(path, Manifest.from_json(text.decode("utf-8"), str(path)))
        except UnicodeDecodeError as error:
            raise BundleError(f"{path}: {MANIFEST} is not UTF-8 text.") from error

    @classmethod
    def open_to_change(cls, bundle: str | PathLike[str] | Bundle) -> Bundle:
        """The bundle, opened if it is not; before any work, the errors of `check_place`."""
        opened = bundle if isinstance(bundle, Bundle) else cls.open(bundle)
        check_place(opened.path)
        return opened

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, in the order of the logits."""
        return self.manifest.classes

    def variant(self, name: str) -> dict[str, Any]:
        """What the manifest says of a variant; BundleError when the bundle has none such."""
        try:
            return self.manifest.variants[name]
        except KeyError:
            held = ", ".join(self.manifest.variants) or "none"
            raise BundleError(
                f"{self.path}: no variant {name!r}; it has {held}. "
                f"'pplcnet export {self.path}' makes the onnx variant."
            ) from None

    def read(self, name: str) -> bytes:
        """A file's content, once its checksum has been compared; BundleError when it differs."""
        facts = self.manifest.files.get(name)
        if facts is None:
            raise BundleError(f"{self.path}: its manifest lists no file {name!r}.")
        content = _read_member(self.path, name, FILE_LIMIT)
        if sha256(content).hexdigest() != facts["sha256"]:
            raise BundleError(
                f"{self.path}: {name} is not the file that was saved (its checksum differs); "
                "the bundle is damaged, take another copy."
            )
        return content

    def verify(self) -> None:
        """Check every file that the manifest lists; BundleError names the first that differs."""
        for name in self.manifest.files:
            self.read(name)

    def pack(self, target: str | PathLike[str]) -> Path:
        """Write the same bundle as one .zip file, which every command takes as well."""
        target = Path(target)
        contents = {name: self.read(name) for name in self.manifest.files}
        temporary = target.with_name(f".{target.name}.writing")
        try:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(MANIFEST, self.manifest.to_json())
                for name, content in contents.items():
                    archive.writestr(name, content)
            os.replace(temporary, target)
        except OSError as error:
            raise BundleError(f"{target}: cannot be written ({error.strerror}).") from error
        finally:
            temporary.unlink(missing_ok=True)
        return target


def write_bundle(
    path: str | PathLike[str], manifest: Manifest, files: Mapping[str, bytes]
) -> Bundle:
    """Write a bundle folder whole: until it is complete, what stood at `path` before stays.

    Files in a bundle's folder that its manifest does not list are their owner's, and stay.

    Args:
        path: the folder, or a link to it, which stays one.
        manifest: its `files` are computed here.
        files: content by file name.

    Raises:
        BundleError, InputError: as `check_place`.
        BundleError: it cannot be written, the disk being full for one; the old bundle is intact.
    """
    path = Path(path)
    check_place(path)
    place = path.resolve()
    listed = {
        name: {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    complete = replace(manifest, files=listed)
    staged = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{place.name}.writing-", dir=place.parent))
        staged.chmod(0o755)
        for name, content in {**files, MANIFEST: complete.to_json().encode()}.items():
            _write_durably(staged / name, content)
        previous = _previous(place)
        if place.exists():
            _copy_unlisted(place, staged)
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(place, previous)
        os.rename(staged, place)
        shutil.rmtree(previous, ignore_errors=True)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be saved ({error.strerror or error}); what was there before is intact."
        ) from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
        recover_interrupted_write(place)
    return Bundle(path, complete)


def update_bundle(
    bundle: Bundle,
    *,
    files: Mapping[str, bytes] | None = None,
    variants: Mapping[str, dict[str, Any]] | None = None,
    **changes: Any,
) -> Bundle:
    """Write a bundle again with more: files and variants are added to those that it has.

    Args:
        changes: other fields of the manifest, replaced.

    Raises:
        BundleError: as `write_bundle`; or a file that stays is damaged.
    """
    manifest = replace(
        bundle.manifest, variants={**bundle.manifest.variants, **(variants or {})}, **changes
    )
    files = files or {}
    kept = {name: bundle.read(name) for name in bundle.manifest.files if name not in files}
    return write_bundle(bundle.path, manifest, {**kept, **files})


def check_place(path: Path) -> None:
    """Refuse, before any work, a place where `write_bundle` could not write.

    Raises:
        BundleError: a packed bundle, something else than a bundle, or the current folder.
        InputError: the folder around it cannot be written to.
    """
    if path.suffix == ".zip" or path.is_file():
        raise BundleError(
            f"{path}: a packed bundle is not changed in place; unpack it into a folder first."
        )
    if path.exists() and not (path / MANIFEST).is_file():
        raise BundleError(f"{path}: is in the way and is no bundle; choose another place.")
    place = path.resolve()
    if Path.cwd().is_relative_to(place):
        raise BundleError(
            f"{place}: is the current folder, which cannot be replaced as a whole; change to the "
            "folder above and name it from there."
        )
    check_writable(place.parent)


def recover_interrupted_write(path: Path) -> None:
    """Put the previous bundle back if a process died between moving it aside and replacing it."""
    place = path.resolve()
    previous = _previous(place)
    if not place.exists() and previous.exists():
        os.rename(previous, place)


def _previous(place: Path) -> Path:
    return place.with_name(f".{place.name}.previous")


def _copy_unlisted(place: Path, staged: Path) -> None:
    try:
        listed = {*Bundle.open(place).manifest.files, MANIFEST}
    except BundleError:  # of a damaged bundle, everything that is not replaced
        listed = {MANIFEST}
    for each in place.iterdir():
        if each.name in listed or (staged / each.name).exists():
            continue
        if each.is_dir() and not each.is_symlink():
            shutil.copytree(each, staged / each.name, symlinks=True)
        else:
            shutil.copy2(each, staged / each.name, follow_symlinks=False)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_plain(name: object) -> bool:
    """Whether a file name stays inside the bundle's folder."""
    return isinstance(name, str) and name == os.path.basename(name) and name[:1] not in ("", ".")


def _read_member(path: Path, name: str, limit: int) -> bytes:
    try:
        if path.is_dir():
            if (path / name).stat().st_size > limit:
                raise BundleError(f"{path}: {name} is larger than {limit:,} bytes.")
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > limit:
                raise BundleError(f"{path}: {name} is larger than {limit:,} bytes.")
            return archive.read(name)
    except (FileNotFoundError, KeyError) as error:
        raise BundleError(f"{path}: not a whole bundle, {name} is missing.") from error
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error.strerror or error}).") from error
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise BundleError(f"{path}: neither a bundle folder nor a whole .zip ({error}).") from error


def today() -> str:
    """The moment of writing, UTC, for a manifest."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
