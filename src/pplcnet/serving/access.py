"""Access control: API keys, the names of this server, and the origins of web pages."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from pplcnet.errors import InputError
from pplcnet.serving.http_messages import Request
from pplcnet.serving.refusals import Refusal
from pplcnet.serving.settings import LOOPBACK, Settings

__all__ = ["Access", "read_keys"]

LEAST_KEY = 16
ALLOWED_HEADERS = b"authorization, content-type, inference-header-content-length, x-request-id"
SHOWN_HEADERS = b"inference-header-content-length, retry-after, x-request-id"


def read_keys(path: str) -> list[str]:
    """The keys in a file, one per line; empty lines and lines that start with # are skipped.

    Raises:
        InputError: the file cannot be read or has no key, or a key is too short or not plain.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{path}: the keys cannot be read ({reason}).") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise InputError(f"{path}: has no key; write one on each line.")
    for at, key in enumerate(keys, start=1):
        if len(key) < LEAST_KEY or not re.fullmatch(r"[\x21-\x7e]+", key):
            raise InputError(
                f"{path}: key {at} must have at least {LEAST_KEY} characters, letters, digits and "
                "signs without spaces."
            )
    return keys


class Access:
    """Checks that run before any endpoint."""

    def __init__(self, settings: Settings, keys: Sequence[str] = ()) -> None:
        """Without keys, every caller is allowed."""
        self._keys = [sha256(key.encode()).digest() for key in keys]
        self._origins = set(settings.allowed_origins)
        # A web page whose host name was pointed at this machine gets no answer (DNS rebinding).
        self._hosts: set[str] | None = None
        if settings.is_local:
            self._hosts = {*LOOPBACK, *(each.lower() for each in settings.allowed_hosts)}

    def check_origin(self, request: Request) -> None:
        """Refusal 421 for a request to another host, 403 for one from a page of another origin."""
        host = request.headers.get(b"host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            raise Refusal(
                421,
                f"the request is for {host[:100]!r}; this server only answers for "
                f"{', '.join(sorted(self._hosts))}. --allow-host adds a name.",
            )
        origin = request.headers.get(b"origin")
        if origin is None or request.method in ("GET", "HEAD", "OPTIONS"):
            return
        if not self._is_allowed(origin) and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(
                403,
                f"pages of {origin[:100]!r} may not use this server; --allow-origin allows them.",
            )

    def check_key(self, authorization: str) -> None:
        """Refusal 401 unless the value of the authorization header holds a valid key."""
        if not self._keys:
            return
        scheme, _, key = authorization.partition(" ")
        given = sha256(key.strip().encode("latin-1")).digest()
        matches = [hmac.compare_digest(given, each) for each in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            raise Refusal(401, "no valid key; send one as 'Authorization: Bearer KEY'.")

    def headers_for(self, request: Request) -> list[tuple[bytes, bytes]]:
        """The CORS headers that let pages of allowed origins read a reply, including errors."""
        origin = request.headers.get(b"origin")
        if origin is None or not self._is_allowed(origin):
            return []
        headers = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", SHOWN_HEADERS),
            (b"vary", b"origin"),
        ]
        if request.method == "OPTIONS":
            headers += [
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", ALLOWED_HEADERS),
                (b"access-control-max-age", b"600"),
            ]
        return headers

    def _is_allowed(self, origin: str) -> bool:
        return "*" in self._origins or origin in self._origins


def _host_name(host: str) -> str:
    """The Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
