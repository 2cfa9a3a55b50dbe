"""What a comparison leaves behind: a JSON file that can be resumed, and a table of ratios."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from scalarpath.core.errors import DataError
from scalarpath.core.files import write_json, write_text
from scalarpath.core.terminal import add_columns
from scalarpath.cost.peers.cases import Case
from scalarpath.cost.peers.environments import Environment

FORMAT = 1
COLUMNS = ("model", "structure", "dtype", "threads", "mode", "train", "inference", "memory")
NOTE = (
    "Peer / scalarpath (above 1: scalarpath is faster, or smaller); medians of paired rounds with 95 % intervals "
    "(their range below six rounds); memory: what a training step adds."
)


def source_hash(package: Path, without: Collection[str] = ()) -> str:
    """SHA-256 of all Python and C++ files below ``package``, names included, but for the folders ``without``."""
    digest = hashlib.sha256()
    sources = (path for path in package.rglob("*") if path.suffix in (".py", ".cpp", ".h"))
    for file in sorted(path for path in sources if path.relative_to(package).parts[0] not in without):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def identity(case: Case, environment: Environment, rounds: int, sources: str) -> dict[str, Any]:
    """What must be the same for a result to be kept."""
    return {
        **asdict(case),
        "rounds": rounds,
        "peer_versions": dict(environment.versions),
        "torch": version("torch"),
        "sources": sources,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


def read_results(path: Path) -> list[dict[str, Any]]:
    """Results of an earlier run, none where there is no file; raises DataError for another file."""
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise KeyError("format")
        return list(content["results"])
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{path} holds no results of suite=peers; remove it or set another output.") from None


def write_results(path: Path, results: Iterable[Mapping[str, Any]], failed: Mapping[str, str]) -> None:
    """Write the results and the messages of the cases that failed."""
    write_json(path, {"format": FORMAT, "suite": "peers", "results": list(results), "failed": dict(failed)})


def rows(results: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """Cells of the table, in the order of COLUMNS."""
    out = []
    for result in results:
        case = [str(result["case"][key]) for key in ("model", "structure", "dtype", "threads", "mode")]
        times = [
            f"{step['ratio']:.2f} [{step['ratio_low']:.2f}, {step['ratio_high']:.2f}]" if step else "–"
            for step in (result["train"], result["inference"])
        ]
        memory = result["memory"]
        out.append([*case, *times, f"{memory['ratio']:.2f}" if memory else "–"])
    return out


def table(results: Iterable[Mapping[str, Any]]) -> Table:
    """The table for a terminal, where the columns of the case are two."""
    shown = Table(title="Peers", caption=NOTE)
    for column in ("model", "case"):
        shown.add_column(column, no_wrap=True)
    add_columns(shown, *COLUMNS[-3:])
    for model, structure, dtype, threads, mode, *ratios in rows(results):
        name = model if mode == "eager" else f"{model}, {mode}"
        shown.add_row(name, f"{structure} {dtype} x{threads}", *ratios)
    return shown


def write_markdown(path: Path, results: Iterable[Mapping[str, Any]]) -> None:
    """The table as Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows(results))]
    write_text(path, "\n".join([NOTE, "", *lines, ""]))
