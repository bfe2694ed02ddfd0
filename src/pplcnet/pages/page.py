"""Renders one self-contained HTML page from templates; it loads nothing from elsewhere.

Class and file names are untrusted: templates escape every value, data for the script goes through
Jinja2's `tojson`, and the Content-Security-Policy allows only the script whose digest it names.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from importlib import resources
from typing import Any

from pplcnet.errors import require
from pplcnet.metrics.thresholds import FEW_ANSWERS
from pplcnet.pages.section import Section
from pplcnet.system.wording import counted, format_exact, format_number, printable

__all__ = ["percent", "render"]

EXTRA = "report"
PACKAGE = "pplcnet.pages"


def render(
    template: str, *, sections: Sequence[Section] = (), package: str = PACKAGE, **values: Any
) -> str:
    """A page rendered from a template.

    Args:
        template: a file in this package's `templates/`.
        sections: passed to the template as pairs of a section and its HTML.
        package: a task's package. Files in its own `templates/`, if any, take precedence over those
            of this package with the same name.
        values: further variables of the template.

    Raises:
        MissingDependencyError: Jinja2 is not installed.
    """
    environment = _environment(package)
    markup = require("markupsafe", purpose="writing the page", extra=EXTRA).Markup
    style = _template_text("base.css") + _template_text("style.css")
    script = _template_text("page.js")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    bodies = [
        (each, markup(environment.get_template(each.template).render(each.values)))
        for each in sections
    ]
    page: str = environment.get_template(template).render(
        style=markup(style),
        script=markup(script),
        script_digest=digest,
        sections=bodies,
        **values,
    )
    return page


def _environment(package: str) -> Any:
    jinja2 = require("jinja2", purpose="writing the page", extra=EXTRA)
    packages = [PACKAGE]
    if package != PACKAGE and (resources.files(package) / "templates").is_dir():
        packages.insert(0, package)
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(each) for each in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "percent": percent,
        "number": format_number,
        "exact": format_exact,
        "exact_percent": _exact_percent,
    }
    environment.globals["FEW_ANSWERS"] = FEW_ANSWERS
    return environment


def _visible(value: Any) -> Any:
    """Text without invisible formatting, which could reverse a name; line breaks are kept."""
    return "\n".join(map(printable, value.split("\n"))) if type(value) is str else value


def _template_text(name: str) -> str:
    """The text of a file beside the templates that goes into every page unchanged."""
    return (resources.files(PACKAGE) / "templates" / name).read_text(encoding="utf-8")


def percent(value: float | None, digits: int = 1) -> str:
    """A share in per cent; a dash if it is undefined."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _exact_percent(value: float) -> str:
    """A percentage with all digits that were requested, such as 99.999 %."""
    return f"{(100 * Decimal(repr(value))).normalize():f} %"
