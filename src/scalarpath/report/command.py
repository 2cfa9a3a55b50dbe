"""What ``report.py`` does."""

from __future__ import annotations

import csv
import io
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from scalarpath.core.errors import ConfigError
from scalarpath.core.files import refuse_foreign, write_text
from scalarpath.core.metrics import PARTS, TEST
from scalarpath.core.quantities import PRIMARY_FIRST
from scalarpath.core.terminal import add_columns, open_console
from scalarpath.report.aggregate import Aggregate, aggregate
from scalarpath.report.answers import BETTER, NO_HEAD
from scalarpath.report.artifact_rows import ArtifactLine
from scalarpath.report.breakdown import Breakdown
from scalarpath.report.breakdown_tables import FILE as GROUPS_FILE
from scalarpath.report.cells import BASELINE
from scalarpath.report.changes import Change
from scalarpath.report.effects import Effect, percent
from scalarpath.report.other_frames import OtherFrames
from scalarpath.report.other_frames_table import FILE as OTHER_FRAMES_FILE
from scalarpath.report.preface import preface
from scalarpath.report.runs import Run, parts_shown
from scalarpath.report.settings import ReportSettings
from scalarpath.report.table import UNKNOWN
from scalarpath.report.tables import change
from scalarpath.report.verdicts import NOT_REPLICATED, REPLICATED, UNDECIDED

STYLES = {BETTER: "green", REPLICATED: "green", NO_HEAD: "red", NOT_REPLICATED: "red", UNDECIDED: "yellow"}
_IN_RUNS = ("parameters/", "flops/", "overhead/", "time/", "best/", "artifact/")


def write_report(settings: ReportSettings) -> Aggregate:
    """Compare the runs of ``settings``, write report.html, report.md, figures, runs.csv, effects.csv, groups.csv,
    other_frames.csv and artifacts.csv, and show both effects and verdicts.

    All is made before the first file is written. With ``wandb`` the dashboard is saved last.

    Raises ConfigError for settings that cannot be, ReportError for runs that must not be compared.
    """
    folder = Path(settings.output)
    if (folder / "config.yaml").exists():
        raise ConfigError(f"output = {folder} is the directory of a run; choose another one.")
    found = aggregate(settings)
    # here, because they import much, and runs that must not be compared are refused without that
    from scalarpath.report.html import html
    from scalarpath.report.markdown import markdown
    from scalarpath.report.page import page_of
    from scalarpath.report.pictures import pictures

    drawn = pictures(found)
    page = page_of(found, drawn, _command(), _revision())
    files = {
        "report.html": html(page),
        "report.md": markdown(page),
        "runs.csv": _csv([_run_row(run, found.part) for run in found.runs]),
        "effects.csv": _csv([_effect_row(effect) for effect in found.effects]),
        GROUPS_FILE: _csv([row for item in found.breakdown for row in _breakdown_rows(item)]),
        OTHER_FRAMES_FILE: _csv([row for item in found.other_frames for row in _other_frames_rows(item)]),
        "artifacts.csv": _csv([row for line in found.artifacts for row in _artifact_rows(line)]),
        **{f"{picture.name}.svg": picture.standalone() for picture in drawn},
    }
    refuse_foreign("output", folder / "report.md", _is_report, [folder / name for name in files])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(folder / name, text)
    except OSError as error:
        raise ConfigError(f"output = {folder} is not writable: {error.strerror}; choose another one.") from error
    _show(found, [folder / name for name in files])
    if settings.wandb:
        from scalarpath.report.dashboard import publish

        print(publish(settings.dashboard.entity, settings.dashboard.project))
    return found


def _is_report(text: str) -> bool:
    return text.startswith("# ") and "\nProgram: revision " in text


def _command() -> str:
    """As it was typed."""
    program = Path(sys.argv[0]).name
    return shlex.join([*(["python"] if program.endswith(".py") else []), program, *sys.argv[1:]])


def _revision() -> str:
    from scalarpath.runs.provenance import git_revision

    git = git_revision()
    return "unknown" if git is None else git["commit"] + (" with local changes" if git["dirty"] else "")


def _run_row(run: Run, part: str) -> dict[str, Any]:
    names = ("data", "backbone", "head", "seed", "dtype", "device", "epochs", "steps", "best_epoch", "stopped_by")
    row = {"run": str(run.path), **{name: run.summary.get(name) for name in names}}
    row |= {"train_frames": len(run.splits["train"]), "revision": run.revision}
    errors = [f"{PARTS[each]}/" for each in reversed(parts_shown(part))] + ["trivial/"] * (part == TEST)
    row |= {key: value for key, value in run.summary.items() if key.startswith((*errors, *_IN_RUNS))}
    return row | {key: run.summary.get(key) for key in ("hash/data", "hash/config")}


def _artifact_rows(line: ArtifactLine) -> Iterator[dict[str, Any]]:
    for arm, seeds in line.rows.items():
        for seed, row in seeds.items():
            place = {"data": line.data, "backbone": line.backbone, "terms": line.terms, "arm": arm, "seed": seed}
            yield _known({**place, "measure": line.measure, "material": line.material, **asdict(row)})


def _breakdown_rows(item: Breakdown) -> Iterator[dict[str, Any]]:
    """One row per arm."""
    shared = {key: value for key, value in asdict(item).items() if key not in ("errors", "changes")}
    for arm, errors in item.errors.items():
        yield _known({**shared, "arm": arm, **_over_seeds(errors), **_in_percent(item.changes[arm])})


def _other_frames_rows(item: OtherFrames) -> Iterator[dict[str, Any]]:
    """One row per arm, then one per comparison."""
    shared = {key: value for key, value in asdict(item).items() if key not in ("errors", "changes")}
    for arm, errors in item.errors.items():
        yield _known({**shared, "arm": arm, "against": None, **_over_seeds(errors)})
    for (arm, reference), paired in item.changes.items():
        if {arm, reference} <= item.errors.keys():
            yield _known({**shared, "arm": arm, "against": reference, **_in_percent(paired)})


def _over_seeds(errors: Mapping[int, float]) -> dict[str, Any]:
    values = list(errors.values())
    return {
        "seeds": " ".join(map(str, errors)),
        "errors": " ".join(f"{value:.6g}" for value in values),
        "mean": _rounded(float(np.mean(values))),
        "spread": _rounded(float(np.std(values, ddof=1))) if len(values) > 1 else math.nan,
    }


def _in_percent(paired: Change) -> dict[str, float]:
    names = ("percent", "percent_low", "percent_high")
    return {name: _rounded(percent(value)) for name, value in zip(names, paired, strict=True)}


def _rounded(value: float) -> float:
    """Six digits, so that files with many rows stay small."""
    return float(f"{value:.6g}")


def _effect_row(effect: Effect) -> dict[str, Any]:
    row = asdict(effect) | {
        "seeds": " ".join(map(str, effect.seeds)),
        "log_ratios": " ".join(f"{value:.6g}" for value in effect.log_ratios),
        "percent": percent(effect.mean),
        "percent_low": percent(effect.low),
        "percent_high": percent(effect.high),
    }
    return _known(row)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    """Columns in the order in which they first appear; an empty field is an unknown number."""
    text = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _show(found: Aggregate, paths: Sequence[Path]) -> None:
    console = open_console()
    for sentence in preface(found):
        console.print(f"note: {sentence}", highlight=False, markup=False)
    for answer in found.answers:
        word = f"[{STYLES[answer.word]}]{answer.word}[/]"
        console.print(f"{escape(answer.name)}: {word}. [bold]{escape(answer.headline)}[/]", highlight=False)
        for reason in answer.reasons:
            console.print(f"  {reason}", highlight=False, markup=False)
    if found.effects:
        console.print(_effect_table(found))
    if found.verdicts:
        console.print(_verdict_table(found))
    for note in [*(f"{run.path}: {run.reason}." for run in found.unfinished), *found.notes]:
        console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    rest = f" and {len(paths) - 2} files beside them"
    console.print(f"Written: {paths[0]}, {paths[1].name}{rest}", highlight=False, markup=False, soft_wrap=True)


def _effect_table(found: Aggregate) -> Table:
    """One line per comparison, the properties side by side."""
    table = Table(title=f"Change of the {found.part} MAE in %, with 95 % t interval")
    shown = [quantity.name for quantity in PRIMARY_FIRST]
    lines: dict[tuple[str, ...], dict[str, Effect]] = {}
    for effect in found.effects:
        if effect.statistic == "mae":
            key = (effect.data, effect.model, effect.arm, effect.reference)
            lines.setdefault(key, {})[effect.prop] = effect
    # what is the same in all lines stands in the title, so that the table fits a terminal
    several = len(found.cells) > 1
    if not several:
        table.title = f"{found.cells[0].name}: change of the {found.part} MAE in %, with 95 % t interval"
    words = (*(("data", "backbone") if several else ()), "arm", "against")
    add_columns(table, *words, "pairs", *shown, words=words)
    for names, line in lines.items():
        pairs = str(max(len(effect.log_ratios) for effect in line.values()))
        cells = [change(line[prop]) if prop in line else UNKNOWN for prop in shown]
        style = None if names[-1] == BASELINE else "dim"
        table.add_row(*map(escape, (*names[0 if several else 2 :], pairs, *cells)), style=style)
    return table


def _verdict_table(found: Aggregate) -> Table:
    table = Table(title="Claims of arXiv:2606.15892 (the reasons are in the report)")
    for column in ("claim", "data", "backbone", "published", "found", "verdict"):
        table.add_column(column)
    for item in found.verdicts:
        texts = [item.claim, item.data, item.model, item.published, item.found or UNKNOWN]
        table.add_row(*map(escape, texts), f"[{STYLES[item.word]}]{item.word}[/]")
    return table
