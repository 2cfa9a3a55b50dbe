"""The rows of the GPU suite on a screen: what was checked, what steps take, and why the rest is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from scalarpath.core.terminal import add_columns
from scalarpath.cost.gpu.rows import NAMES, Row


def name(row: Row) -> str:
    """What the row is of: ``steps mace_large panpgs eager``."""
    return " ".join(str(row[key]) for key in NAMES)


def worst(row: Row) -> tuple[str, float, float]:
    """The check of a row that comes nearest to its limit, or passes it: what, difference, limit."""
    what, (value, limit) = max(row["checks"].items(), key=lambda item: item[1][0] / item[1][1])
    return what, value, limit


def tables(result: Mapping[str, Any]) -> Group:
    """Checks, steps, peers, and one line for every row that is missing."""
    rows = result["rows"]
    done = [row for row in rows if "reason" not in row]
    machine = ", ".join(result["machine"]["gpus"]) or result["machine"]["device"]
    checks = Table(title=f"{machine}, {result['size']}: {result['seconds']:.0f} s")
    for column in ("checks", "", "nearest to its limit"):
        checks.add_column(column)
    for row in done:
        if "checks" in row:
            what, value, limit = worst(row)
            passed = f"{len(row['checks'])} passed" if row["passed"] else "FAILED"
            checks.add_row(name(row), passed, f"{what}: {value:.0e} of {limit:.0e}")
    steps = Table(
        title=f"Steps: {result['structure']}, float32",
        caption="Ratios to baseline in eager mode, medians and 95 % intervals of "
        f"{result['rounds']} interleaved rounds; memory of a training step",
    )
    add_columns(steps, "steps", "training", "inference", "GiB", words=("steps",))
    for row in done:
        if row["part"] == "steps":
            memory = "" if row["memory_GiB"] is None else f"{row['memory_GiB']:.3g}"
            steps.add_row(name(row).removeprefix("steps "), _time(row, "train"), _time(row, "inference"), memory)
    peers = Table(caption="Times and memory of the peer over ours, on the same weights: above 1 we are faster")
    add_columns(peers, "peers", "training", "inference", "memory", words=("peers",))
    for row in done:
        if row["part"] == "peers":
            of = [f"{row[key]['ratio']:.2f}" if row[key] else "" for key in ("train", "inference", "memory")]
            peers.add_row(name(row).removeprefix("peers "), *of)
    missing = [f"{name(row)}: {row['reason']}" for row in rows if "reason" in row]
    return Group(*(table for table in (checks, steps, peers) if table.row_count), *missing)


def _time(row: Row, kind: str) -> str:
    low, high = (row[f"{kind}_ratio_{end}"] for end in ("low", "high"))
    return f"{row[f'{kind}_ms']:.3g} ms\n{row[f'{kind}_ratio']:.2f} [{low:.2f}, {high:.2f}]"
