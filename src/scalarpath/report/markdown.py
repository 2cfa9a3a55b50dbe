"""A report as Markdown, with figures in files beside it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from scalarpath.report.page import Page
from scalarpath.report.table import Table, with_minus


def markdown(page: Page) -> str:
    """The text of report.md."""
    return "\n".join(_lines(page)) + "\n"


def _lines(page: Page) -> Iterator[str]:
    yield from (f"# {page.title}", "", _text(page.subtitle))
    yield from ("", "## Before the answer: what these runs can show", "")
    yield from (f"- {_item(with_minus(sentence))}" for sentence in page.preface)
    for answer, ranks in page.answers:
        yield from ("", f"## {_text(answer.name)}: {answer.word}", "", f"**{_text(with_minus(answer.headline))}**", "")
        yield from (f"- {_text(with_minus(reason))}" for reason in answer.reasons)
        if ranks is not None:
            yield from ("", *_table(ranks), "", ranks.note)
    for picture in page.pictures:
        yield from ("", f"![{picture.name}]({picture.name}.svg)", "", _text(picture.caption))
    for table in page.tables:
        yield from ("", f"## {_text(table.title)}", "", *_table(table), "", table.note)
    if page.verdicts:
        yield from ("", f"## Claims of arXiv:2606.15892: {page.counts}", "")
        columns = ("claim", "published", "data", "backbone", "found", "verdict", "why")
        rows = [
            (item.claim, item.published, item.data, item.model, item.found, item.word, item.reason)
            for item in page.verdicts
        ]
        yield from _table(Table("", columns, rows, columns))
        yield from ("", "The rule, which no setting changes:", "", *(f"- {part}" for part in page.rule))
    if page.left_out:
        yield from ("", "## Left out, and what to know", "", *(f"- {_item(note)}" for note in page.left_out))
    yield from ("", f"## {page.runs.title}", "", *_table(page.runs), "", page.runs.note)
    # in a block of code nothing has to be escaped, but a new line would end it
    yield from ("", "## Made with", "", f"    {' '.join(page.command.split())}", "")
    yield f"Program: revision {page.revision}."


def _table(table: Table) -> Iterator[str]:
    yield _row([_text(column) for column in table.columns])
    yield _row(["---" if column in table.text_columns else "---:" for column in table.columns])
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        yield _row([_text(cell if column == "run" else with_minus(cell)) for column, cell in cells])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """Names, paths and messages of runs so that Markdown shows them as they are, on one line."""
    plain = html.escape(" ".join(text.split()), quote=False)
    shown = re.sub(r"[\\`*|~$]|(?<!\w)_|_(?!\w)|(?<=\])\(", r"\\\g<0>", plain)
    return shown.replace("://", "&#58;//").replace("www.", "www&#46;")  # no links


def _item(text: str) -> str:
    """The same where it begins a line: no heading, list or rule comes of it."""
    return re.sub(r"^([#+=[-]|\d)", lambda found: f"&#{ord(found[0])};", _text(text))
