"""The stopwatch of a process: every moment counts once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from scalarpath.core.stopwatch import FIRST, TIMES, Stopwatch


def test_a_moment_counts_for_the_innermost_part_and_once(tmp_path: Path) -> None:
    watch, begun = Stopwatch(), time.perf_counter()
    age = watch.parts.get(FIRST, [0, 0, 0])
    watch.phase("fit")
    started = time.perf_counter()
    watch.start("outer")
    for _ in range(2):
        watch.start("inner")
        time.sleep(0.02)
        watch.stop("inner")
    watch.stop("outer")
    least = time.perf_counter() - started
    watch.phase("test")
    most = time.perf_counter() - begun
    watch.write(tmp_path / "times.json")
    parts = json.loads((tmp_path / "times.json").read_text())
    assert {name: runs for name, (_, _, runs) in parts.items()} == {
        FIRST: 1, "fit": 1, "inner": 2, "outer": 1, "test": 1,
    }  # fmt: skip
    assert parts["inner"][1] > 0.04
    assert parts["outer"][1] < most - 0.04
    assert least < sum(parts[name][1] for name in ("fit", "inner", "outer")) < most
    assert parts["inner"][0] < 0.02  # a process that sleeps takes no time of the processor
    assert age == [0, 0, 0]
    assert parts[FIRST][1] > begun - started  # from the start of the process, which was before the stopwatch


def test_it_runs_only_where_a_file_is_named(tmp_path: Path) -> None:
    code = "from scalarpath.core import stopwatch; stopwatch.phase('work'); print(stopwatch.WATCH)"
    for environment in ({}, {TIMES: str(tmp_path / "times.json")}):
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**_paths(), **environment}
        )
        assert (found.stdout == "None\n") is not bool(environment)
    assert set(json.loads((tmp_path / "times.json").read_text())) == {FIRST, "work"}


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
