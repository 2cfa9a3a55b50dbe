"""``python benchmark.py suite=peers``: all cases, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ase import Atoms
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import scalarpath
from scalarpath.core.errors import ConfigError, ScalarPathError
from scalarpath.core.terminal import open_console
from scalarpath.cost.peers.cases import Case, cases
from scalarpath.cost.peers.comparison import compare_case
from scalarpath.cost.peers.environments import Environment, environments
from scalarpath.cost.peers.figure import write_figure
from scalarpath.cost.peers.models import MODELS
from scalarpath.cost.peers.results import identity, read_results, source_hash, table, write_markdown, write_results
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.structures import structures

DIGITS = 12  # of the hash of the sources


def run(settings: BenchmarkSettings) -> list[dict[str, Any]]:
    """Measure all cases, print a table and write JSON, Markdown and SVG; returns the results.

    Written after every case. Raises ConfigError for a wrong setting before anything is measured, and at the end the
    first error of a case when one has failed.
    """
    console = open_console()
    models = list(MODELS) if settings.cases is None else settings.cases
    wanted = cases(models, settings.structures, settings.dtypes, settings.threads, settings.modes)
    batches = {name: structures(name) for name in settings.structures}
    found, left_out = environments(asdict(settings.peers))
    chosen, skipped = _runnable(wanted, batches, found)
    for line in (*left_out, *skipped):
        console.print(line, highlight=False)
    if not chosen:
        raise ConfigError("suite=peers: no case is left to run; choose other cases or give their peer.")
    path = Path(settings.output)
    results, failed = _measure(chosen, batches, found, settings, path, console)
    if results:
        write_markdown(path.with_suffix(".md"), results)
        write_figure(path.with_suffix(".svg"), results)
        console.print(table(results))
        written = ", ".join(str(path.with_suffix(end)) for end in (".json", ".md", ".svg"))
        console.print(f"written: {written}", soft_wrap=True)
    if failed:
        name, error = next(iter(failed.items()))
        raise type(error)(f"{len(failed)} of {len(chosen)} cases failed; the first, {name}: {error}")
    return results


def _runnable(
    wanted: Sequence[Case], batches: Mapping[str, list[Atoms]], found: Mapping[str, Environment]
) -> tuple[list[Case], list[str]]:
    """The cases that can run, and why others are left out (but for a missing peer, which has been said)."""
    chosen, reasons = [], []
    for case in wanted:
        if case.kind not in found:
            continue
        if case.mode in ("compiled", "both_compiled") and len(batches[case.structure]) < 2:
            # sizes 0 and 1 are constants to the compiler: CompileGraphModel.forward of nequip, and CompiledPotential
            reasons.append(
                f"compiled cases of {case.structure} are left out: one frame runs eagerly; use {case.structure}x2."
            )
        else:
            chosen.append(case)
    return chosen, list(dict.fromkeys(reasons))


def _measure(
    chosen: Sequence[Case],
    batches: Mapping[str, list[Atoms]],
    found: Mapping[str, Environment],
    settings: BenchmarkSettings,
    path: Path,
    console: Console,
) -> tuple[list[dict[str, Any]], dict[str, ScalarPathError]]:
    """Results of all cases, those kept from an earlier run included, and the errors of those that failed."""
    sources = source_hash(Path(scalarpath.__file__).parent)[:DIGITS]
    earlier = [r for r in read_results(path) if r["identity"]["sources"] == sources] if settings.resume else []
    results = [r for r in earlier if Case(**r["case"]) not in chosen]
    failed: dict[str, ScalarPathError] = {}
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=2 * settings.rounds * len(chosen))
        for done, case in enumerate(chosen):
            bar.update(task, description=str(case), completed=2 * settings.rounds * done)
            key = identity(case, found[case.kind], settings.rounds, sources)
            kept = [result for result in earlier if result["identity"] == key]
            if kept:
                results += kept
                continue
            try:
                measured = compare_case(
                    case, batches[case.structure], found[case.kind].python, settings.rounds, lambda: bar.advance(task)
                )
            except ScalarPathError as error:
                failed[str(case)] = error
                console.print(f"{case}: {error}", style="red", soft_wrap=True, highlight=False)
            else:
                results.append({"case": asdict(case), "identity": key, **measured})
            write_results(path, results, {name: str(error) for name, error in failed.items()})
        bar.update(task, completed=2 * settings.rounds * len(chosen))
    write_results(path, results, {name: str(error) for name, error in failed.items()})
    return results, failed
