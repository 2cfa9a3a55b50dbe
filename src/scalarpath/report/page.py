"""What a report's page and Markdown file hold, apart from their markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalarpath.core.metrics import TEST
from scalarpath.report.aggregate import Aggregate
from scalarpath.report.answers import Answer
from scalarpath.report.cells import BASELINE
from scalarpath.report.effects import ARM, NEEDED_CONTROL, NEEDED_SEEDS
from scalarpath.report.preface import preface
from scalarpath.report.table import Table
from scalarpath.report.tables import rank_table, run_table, tables
from scalarpath.report.verdicts import RELEVANT_GAIN, Verdict

if TYPE_CHECKING:
    from scalarpath.report.pictures import Picture

RULE = (
    f"Replicated: {NEEDED_SEEDS} paired seeds or more; every 95 % interval of the mean log-ratio of {ARM} to "
    f"{BASELINE} (t, and bootstrap where there is one) lies below zero; so does every interval against "
    f"{NEEDED_CONTROL}, which must be there, and against wide_param and wide_flop where they were run.",
    f"Not replicated: with {NEEDED_SEEDS} paired seeds or more, every interval against {BASELINE}, or against one of "
    f"those controls, excludes a gain of {RELEVANT_GAIN:.0%} or more. This is asked first.",
    "Undecided: everything else; the reason is given.",
    "Over all data sets the exact sign-flip test must also give p < 0.05. On backbones other than MACE only the "
    "direction is claimed, and controls count where they were run.",
    "Few added operations: those of an inference are at most 1.05 of baseline's; times are told beside it.",
    "Artifacts: the 95 % t interval of the change in size lies below zero (replicated) or excludes a reduction (not "
    f"replicated), with {NEEDED_SEEDS} paired seeds.",
)


@dataclass(frozen=True)
class Page:
    """Content of a report; ``command`` made it, at revision ``revision`` of the program.

    ``preface`` says what can be seen at all. ``answers`` are those of the report, each with the table of its arms.
    ``verdicts`` are empty where none was asked for.
    """

    title: str
    subtitle: str
    command: str
    revision: str
    preface: Sequence[str]
    answers: Sequence[tuple[Answer, Table | None]]
    verdicts: Sequence[Verdict]
    tables: list[Table]
    runs: Table
    pictures: list[Picture]
    left_out: list[str]
    rule: Sequence[str] = RULE

    @property
    def counts(self) -> str:
        """How many verdicts of each kind."""
        words = [verdict.word for verdict in self.verdicts]
        return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words)) or "no claim can be judged"


def page_of(found: Aggregate, pictures: list[Picture], command: str, revision: str) -> Page:
    """Put a report together."""
    arms, seeds = ({getattr(run, name) for run in found.runs} for name in ("arm", "seed"))
    places = dict.fromkeys(f"{cell.data} × {cell.backbone}" for cell in found.cells)
    compared = ", ".join(places)
    if len(found.cells) > len(places):
        compared += f"; {len(found.cells)} combinations of these with budget, train frames and size"
    left_out = [f"{run.path}: {run.reason}." for run in found.unfinished]
    return Page(
        title="Which head is best" if found.part == TEST else f"Development, no claim: heads by {found.part} errors",
        subtitle=f"Compared: {compared}; {len(arms)} heads, {len(seeds)} seeds, {len(found.runs)} runs.",
        command=command,
        revision=revision,
        preface=preface(found),
        answers=[(answer, rank_table(answer) if answer.ranks else None) for answer in found.answers],
        verdicts=found.verdicts,
        tables=tables(found),
        runs=run_table(found),
        pictures=pictures,
        left_out=[*left_out, *found.notes],
    )
