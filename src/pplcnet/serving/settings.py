"""What a server is told at its start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["LOOPBACK", "Settings"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """The options of `pplcnet serve`."""

    workers: int
    queue: int
    """Photos that may wait."""
    keep_versions: int = 1
    """Versions of each model that answer."""
    queue_bytes: int = 256 << 20
    """Bytes of all requests that are being received or wait."""
    timeout: float = 5.0
    """Seconds from the last byte of a request to its answer."""
    receive_timeout: float = 15.0
    """Seconds from the first byte of a request to its last."""
    max_request_bytes: int = 16 << 20
    max_pixels: int = 50_000_000
    max_photos: int = 64
    """In one request."""
    max_connections: int = 512
    worker_bytes: int = 1536 << 20
    """Address space that a worker may take for a photo, beyond what it needs when idle."""
    drain: float = 5.0
    """Seconds between SIGTERM and the end of new connections."""
    reload_every: float = 0.0
    """Seconds between two looks for new bundles; 0 for none."""
    engine: str | None = None
    precision: str | None = None
    is_trusted: bool = False
    """Whether networks that pplcnet did not export are run."""
    allows_control: bool = False
    """Whether requests may load and unload models."""
    has_triton_names: bool = False
    """Whether metrics also have the names that Triton gives them."""
    has_page: bool = True
    """Whether GET / answers with a page for photos."""
    host: str = "127.0.0.1"
    grpc_port: int | None = None
    """0 for any free one; None for no gRPC."""
    allowed_hosts: Sequence[str] = ()
    """Further names of this server, where the Host header is checked."""
    allowed_origins: Sequence[str] = field(default_factory=tuple)
    """For CORS; "*" allows every page."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK
