"""Describes connection failures in plain words, for the message of a failed download."""

from __future__ import annotations

import errno
import http.client
import re
import socket
import ssl
from http import HTTPStatus
from urllib.error import URLError

__all__ = ["describe_failure", "describe_status"]

# The first match counts: some are subclasses of later ones.
WORDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((socket.gaierror,), "{server}'s name could not be resolved; is this machine online?"),
    ((ConnectionRefusedError,), "{server} refused the connection"),
    ((ConnectionError,), "{server} closed the connection"),  # reset, or without a response
    ((TimeoutError,), "{server} did not respond in time"),
    ((http.client.IncompleteRead,), "{server} closed the connection before the file was complete"),
    ((http.client.InvalidURL, UnicodeError), "this is not a valid address"),
    ((http.client.HTTPException,), "{server} did not respond like a web server"),
)
NUMBERS = {
    **dict.fromkeys(
        (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL),
        "there is no route to {server}; is this machine online?",
    ),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "this machine does not allow the connection"),
}
"""Descriptions by an OSError's errno."""


def describe_status(status: int) -> str:
    """A description of the status that the server answered instead of the file."""
    try:
        return f"the server answered {status}, {HTTPStatus(status).phrase.lower()}"
    except ValueError:
        return f"the server answered {status}"


def describe_failure(error: Exception, *, has_proxy: bool = False) -> str:
    """Why there was no response, or only part of one.

    Args:
        error: raised by urllib, http.client, socket or ssl.
        has_proxy: whether the connection goes to a proxy, which the text then mentions.
    """
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    server = "the proxy" if has_proxy else "the server"
    for kinds, words in WORDS:
        if isinstance(error, kinds):
            return words.format(server=server)
    if isinstance(error, ssl.SSLError):
        return _describe_tls(error)
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return NUMBERS[error.errno].format(server=server)
    # http.client has no class of its own for this.
    if tunnel := re.fullmatch(r"Tunnel connection failed: (.+)", str(error)):
        return f"the proxy did not make the connection; it answered {tunnel[1]}"
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return f"the connection to {server} failed: {reason or type(error).__name__}"


def _describe_tls(error: ssl.SSLError) -> str:
    """A TLS failure; always the server's, as a proxy only passes TLS on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate was not accepted: {error.verify_message}; if your network "
            "replaces certificates, name its certificate in SSL_CERT_FILE"
        )
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"no secure connection to the server could be made: {reason}"
