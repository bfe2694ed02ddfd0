"""One self-contained HTML page from a template: nothing in it is loaded from anywhere.

Names of classes and files are whatever somebody called them: templates escape every value, data
for the script go through Jinja2's `tojson`, and the page's Content-Security-Policy lets run the one
script whose digest it names.
"""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal
from hashlib import sha256
from importlib import resources
from typing import Any

from pplcnet.errors import require
from pplcnet.metrics.thresholds import FEW_ANSWERS
from pplcnet.system.wording import counted, format_exact, format_number, printable

__all__ = ["render"]

EXTRA = "report"


def render(template: str, **values: Any) -> str:
    """The page of a template in `templates/`.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    jinja2 = require("jinja2", purpose="writing the page", extra=EXTRA)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pplcnet.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "percent": _percent,
        "number": format_number,
        "in_full": format_exact,
        "in_full_percent": _in_full_percent,
    }
    environment.globals["FEW_ANSWERS"] = FEW_ANSWERS
    markup = require("markupsafe", purpose="writing the page", extra=EXTRA).Markup
    style, script = _template_text("style.css"), _template_text("page.js")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    page: str = environment.get_template(template).render(
        style=markup(style), script=markup(script), script_digest=digest, **values
    )
    return page


def _visible(value: Any) -> Any:
    """Text without invisible formatting, which could show a name backwards; lines stay lines."""
    return "\n".join(map(printable, value.split("\n"))) if type(value) is str else value


def _template_text(name: str) -> str:
    """A file of the templates, for a page that only has one of each."""
    return (resources.files("pplcnet.pages") / "templates" / name).read_text(encoding="utf-8")


def _percent(value: float | None, digits: int = 1) -> str:
    """With a dash for a figure that is not defined."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _in_full_percent(value: float) -> str:
    """All that somebody asked for, 99.999 % too."""
    return f"{(100 * Decimal(repr(value))).normalize():f} %"
