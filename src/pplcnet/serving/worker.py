"""A worker process of `pplcnet serve`: reads, decodes and classifies one photo after another.

`python -m pplcnet.serving.worker DESCRIPTOR`, started by the server, which holds the other end of
the socket. It ends when that end is closed, and leaves signals to the server.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pplcnet.bundle.manifest import Manifest
from pplcnet.errors import ImageError, PPLCNetError
from pplcnet.imaging.limits import limit_pixels
from pplcnet.runtime.network import read_network
from pplcnet.runtime.selection import Choice
from pplcnet.runtime.typicality import parse_typicality
from pplcnet.serving.frames import Buffer, pack, read_frame
from pplcnet.serving.loaded_model import Answer, LoadedModel
from pplcnet.system.allocator import keep_freed_memory

if TYPE_CHECKING:  # a server without galleries does not need their code
    from pplcnet.serving.loaded_gallery import LoadedGallery

__all__ = ["main"]

Reply = tuple[dict[str, Any], Sequence[Buffer]]


class Worker:
    """Handles the server's requests, by the message's "do"."""

    def __init__(self) -> None:
        self._models: dict[int, LoadedModel] = {}
        self._galleries: dict[int, LoadedGallery] = {}
        self._spare_bytes: int | None = None

    def reply(self, message: dict[str, Any], payload: bytes) -> Reply:
        """Handle a request; an error becomes a reply with `status` and `error`."""
        try:
            reply: Reply = getattr(self, f"_{message['do']}")(message, payload)
        except ImageError as error:
            return {"status": 422, "error": error.reason}, ()
        except PPLCNetError as error:
            return {"status": 500, "error": error.summary}, ()
        except MemoryError:
            return {"status": 422, "error": "takes more memory to decode than a photo may."}, ()
        except Exception as error:  # noqa: BLE001 - one photo, or one bundle, must not end the worker
            return {"status": 500, "error": f"failed ({type(error).__name__}: {error})."}, ()
        return reply

    def _settings(self, message: dict[str, Any], payload: bytes) -> Reply:
        keep_freed_memory()
        limit_pixels(message["max_pixels"])
        self._spare_bytes = message["spare_bytes"]
        return {}, ()

    def _ping(self, message: dict[str, Any], payload: bytes) -> Reply:
        return {}, ()

    def _read(self, message: dict[str, Any], payload: bytes) -> Reply:
        """Read what `_load` takes: a bundle's files, each verified against its checksum."""
        network = read_network(message["bundle"], message["engine"], message["precision"])
        manifest = network.manifest.to_json().encode()
        typicality = network.typicality.content() if network.typicality else b""
        facts = {
            **message,
            "do": "load",
            "sizes": [len(manifest), len(typicality)],
            "choice": list(network.selection.choice),
        }
        return facts, (manifest, typicality, network.content)

    def _read_gallery(self, message: dict[str, Any], payload: bytes) -> Reply:
        """Read what `_load_gallery` takes: a gallery's manifest, and its network."""
        from pplcnet.gallery.gallery import read_manifest
        from pplcnet.serving.loaded_gallery import network_of

        path = message["bundle"]
        gallery = read_manifest(path)
        network = network_of(gallery, path, message["others"], message["engine"])
        manifest, own = network.manifest.to_json().encode(), gallery.to_json().encode()
        facts = {
            **message,
            "do": "load_gallery",
            "sizes": [len(own), len(manifest)],
            "choice": list(network.selection.choice),
        }
        return facts, (own, manifest, network.content)

    def _load(self, message: dict[str, Any], payload: bytes) -> Reply:
        end, size = message["sizes"]
        manifest = Manifest.from_json(payload[:end].decode(), message["bundle"])
        typicality = None
        if size:
            typicality = parse_typicality(payload[end : end + size], manifest, message["bundle"])
        with self._unlimited_memory():
            model = LoadedModel(
                manifest,
                payload[end + size :],
                Choice(*message["choice"]),
                typicality,
                is_trusted=message["is_trusted"],
            )
        self._models[message["serial"]] = model
        return model.describe(), ()

    def _load_gallery(self, message: dict[str, Any], payload: bytes) -> Reply:
        from pplcnet.gallery.manifest import GalleryManifest
        from pplcnet.serving.loaded_gallery import LoadedGallery

        end, size = message["sizes"]
        path = message["bundle"]
        with self._unlimited_memory():
            gallery = LoadedGallery(
                path,
                GalleryManifest.from_json(payload[:end].decode(), path),
                Manifest.from_json(payload[end : end + size].decode(), path),
                payload[end + size :],
                Choice(*message["choice"]),
                is_trusted=message["is_trusted"],
            )
        self._galleries[message["serial"]] = gallery
        return gallery.describe(), ()

    @contextmanager
    def _unlimited_memory(self) -> Iterator[None]:
        _limit_memory(None)
        try:
            yield
        finally:
            _limit_memory(self._spare_bytes)

    def _unload(self, message: dict[str, Any], payload: bytes) -> Reply:
        self._models.pop(message["serial"], None)
        self._galleries.pop(message["serial"], None)
        return {}, ()

    def _search(self, message: dict[str, Any], payload: bytes) -> Reply:
        gallery = self._galleries[message["serial"]]
        return _packed(gallery.search(payload, message["most"], message["threshold"]))

    def _answer(self, message: dict[str, Any], payload: bytes) -> Reply:
        model = self._models[message["serial"]]
        answer_one = model.answer_pixels if message["is_pixels"] else model.answer_photo
        return _packed(answer_one(payload, message["names"], message["most"]))

    def _prepare(self, message: dict[str, Any], payload: bytes) -> Reply:
        return _packed(self._models[message["serial"]].prepare(payload))

    def _occlude(self, message: dict[str, Any], payload: bytes) -> Reply:
        return _packed(self._models[message["serial"]].occlude(payload, *message["place"]))


def _packed(answer: Answer) -> Reply:
    described, blobs = [], []
    for name, array in answer.arrays.items():
        is_text = array.dtype.kind == "U"
        described.append(
            [name, array.dtype.name, array.shape, array.ravel().tolist() if is_text else None]
        )
        blobs.append(b"" if is_text else np.ascontiguousarray(array).tobytes())
    return {
        "arrays": described,
        "rows": answer.rows,
        "facts": answer.facts,
        "ns": [answer.decode_ns, answer.network_ns, answer.output_ns],
    }, blobs


def _limit_memory(spare_bytes: int | None) -> None:
    """Let this process allocate `spare_bytes` more address space than now; None for no limit."""
    if sys.platform != "linux":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = resource.RLIM_INFINITY
    if spare_bytes is not None:
        with open("/proc/self/statm") as file:
            soft = int(file.read().split()[0]) * resource.getpagesize() + spare_bytes
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main(descriptor: str) -> None:
    """Answer until the server closes its end."""
    # A terminal's Ctrl-C and a service manager's SIGTERM go to every process of the group, and
    # the queue has to be answered first.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    worker = Worker()
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            while (frame := read_frame(connection)) is not None:
                message, payload = frame
                reply, blobs = worker.reply(message, payload)
                del frame, payload
                connection.sendall(b"".join(pack(reply, blobs)))
        except (BrokenPipeError, ConnectionResetError):  # the server has gone
            return


if __name__ == "__main__":
    main(sys.argv[1])
