"""A report as one page of HTML that needs nothing else."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scalarpath.report.page import Page
from scalarpath.report.pictures import Picture
from scalarpath.report.table import with_minus


def html(page: Page) -> str:
    """The page; everything that comes from runs is escaped."""
    environment = Environment(
        loader=PackageLoader("scalarpath.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = with_minus
    rows: dict[str, list[tuple[Picture, Markup]]] = {}
    for picture in page.pictures:
        rows.setdefault(picture.row, []).append((picture, Markup(picture.inline())))
    return environment.get_template("report.html.j2").render(page=page, figures=rows)
