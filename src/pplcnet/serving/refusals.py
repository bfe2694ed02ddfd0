"""The reason why a request is not answered, with its HTTP status."""

from __future__ import annotations

from pplcnet.errors import PPLCNetError

__all__ = ["Refusal"]


class Refusal(PPLCNetError):  # noqa: N818 - not always a fault
    """A request that gets an error instead of an answer.

    `status` is an HTTP status, which other protocols translate: 400 malformed, 401 no valid key,
    403 not allowed here, 404 no such model, 405 method, 408 sent too slowly, 413 too large,
    415 compressed, 421 another host, 422 a photo that cannot be used, 431 headers too large,
    500 the photo ended two workers, 503 full, starting or stopping, 504 too late.
    """

    def __init__(
        self, status: int, message: str, *, retry_after: int | None = None, cause: str = ""
    ) -> None:
        self.status = status
        self.cause = cause
        """Cause of a 503, for metrics: "queue", "deadline", "memory", "workers", "not ready"."""
        self.retry_after = retry_after
        """Seconds after which a retry makes sense."""
        super().__init__(message)
