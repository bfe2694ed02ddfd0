"""The page at /: one HTML file to try photos with, which loads nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib import resources

from pplcnet.serving.http_messages import Reply

__all__ = ["page"]

HTML = "text/html; charset=utf-8"


@cache
def page() -> Reply:
    """The page, with a policy that allows only its own script, its own styles and this server."""
    base = _text("pplcnet.pages", "base.css")
    style, script = base + _text("pplcnet.serving", "page.css"), _text("pplcnet.serving", "page.js")
    content = _text("pplcnet.serving", "page.html")
    content = content.replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src blob: data:; style-src {_digest(style)}; "
        f"script-src {_digest(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "permissions-policy": "camera=(self), microphone=(), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }
    return Reply(
        content.encode(),
        HTML,
        headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
    )


def _text(package: str, name: str) -> str:
    return (resources.files(package) / "templates" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
