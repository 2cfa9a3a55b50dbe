"""A report as Markdown, with figures in files beside it."""

from __future__ import annotations

from collections.abc import Iterator

from scalarpath.report.page import Page
from scalarpath.report.tables import Table, with_minus


def markdown(page: Page) -> str:
    """The text of report.md."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield from (
        f"# {page.title}",
        "",
        page.subtitle,
        "",
        f"    {page.command}",
        "",
        f"Program: revision {page.revision}.",
    )
    yield from ("", "## Verdicts", "", f"{page.counts}.", "")
    if page.verdicts:
        columns = ("claim", "published", "data", "backbone", "found", "verdict", "why")
        rows = [
            (item.claim, item.published, item.data, item.backbone, item.found, f"**{item.word}**", item.reason)
            for item in page.verdicts
        ]
        yield from _table(Table("", columns, rows, columns))
    yield from ("", "The rule, which no setting changes:", "", *(f"- {part}" for part in page.rule))
    for table in page.tables:
        yield from ("", f"## {table.title}", "", *_table(table), "", table.note)
    for picture in page.pictures:
        yield from ("", f"![{picture.name}]({picture.name}.svg)", "", picture.caption)
    if page.left_out:
        yield from ("", "## Left out, and what to know", "", *(f"- {note}" for note in page.left_out))
    yield from ("", f"## {page.runs.title}", "", *_table(page.runs), "", page.runs.note)


def _table(table: Table) -> Iterator[str]:
    yield _row(table.columns)
    yield _row(["---" if column in table.text_columns else "---:" for column in table.columns])
    for row in table.rows:
        yield _row([with_minus(cell).replace("|", "\\|") for cell in row])


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(cells)} |"
