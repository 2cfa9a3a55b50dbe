"""``python benchmark.py suite=gpu``, on a CPU."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from gpu_tasks import two_rows_then
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from samples import SMALL, head_config

from scalarpath.core.errors import TrainingError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost import run
from scalarpath.cost.gpu import distributed, steps, suite
from scalarpath.cost.gpu.checks import check_rows, checks
from scalarpath.cost.gpu.rows import TIME_IS_UP, Task, measured
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.potential import Potential

PLANNED = [{"part": "test", "head": head} for head in "abc"]


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has just ended
        return ""


@pytest.fixture
def composed(tmp_path):
    """conf/benchmark.yaml with settings, within Hydra."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        fixed = ["suite=gpu", "device=cpu", "gpu.size=smoke", "rounds=1", f"output={tmp_path}/gpu.json"]
        yield lambda *overrides: compose("benchmark", [*fixed, *overrides])


def setting(kind: str, **changes):
    return {
        "name": kind, "backbone": SMALL[kind] | {"cutoff": 4.0}, "mode": "eager", "structure": "si8x2", "device": "cpu",
        "seed": 0, "rounds": 2, "baseline": head_config("baseline"), "heads": {"panpgs": head_config("panpgs")},
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("what", "last"),
    [
        ("go on", {"value": 3}),
        ("die", {"reason": "its process ended with status 7"}),
        ("raise", {"reason": "ValueError: no such thing"}),
        ("hang", {"reason": TIME_IS_UP}),
    ],
)
def test_a_row_that_does_not_come_has_a_reason_and_those_before_it_stay(what, last, tmp_path):
    seconds = 8 if what == "hang" else 60  # nobody waits for the end of the others' time
    rows = list(measured(Task(two_rows_then, (what, str(tmp_path)), PLANNED), time.monotonic() + seconds))
    assert [row["head"] for row in rows] == ["a", "b", "c"]
    assert (rows[0]["value"], rows[1]["reason"]) == (1, "out of memory")
    assert rows[2] == {"part": "test", "head": "c", **last}
    end = time.monotonic() + 5
    while started := [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in text_of(path)]:
        assert time.monotonic() < end, started
        time.sleep(0.1)


@pytest.mark.parametrize("kind", list(SMALL))
def test_physics_holds_for_a_head_that_acts(kind):
    (row,) = check_rows(setting(kind, mode="float64"))
    assert row["passed"], row
    assert len(row["checks"]) == 11


@pytest.mark.parametrize(
    ("key", "what"), [("forces", "forces as differences of energies"), ("stress", "stress as differences of energies")]
)
def test_a_wrong_derivative_is_seen(monkeypatch, key, what):
    predict = Potential.predict

    def wrong(self, *args, **kwargs):
        out = predict(self, *args, **kwargs)
        return {**out, key: out[key] * 1.0001}

    monkeypatch.setattr(Potential, "predict", wrong)
    given = setting("mace")
    found = checks(given["backbone"], given["heads"]["panpgs"], 0, torch.device("cpu"))
    assert {name for name, (value, limit) in found.items() if value > limit} == {what}


def test_a_head_that_cannot_run_is_a_row_and_the_others_are_measured(monkeypatch):
    class Full:
        """Room for baseline only."""

        def __init__(self, potential):
            if potential.config["head"]["name"] != "baseline":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
            self.potential = potential

        def __call__(self, graph, **outputs):
            return self.potential(graph, **outputs)

        def require(self, graph):
            pass

    monkeypatch.setitem(steps.BACKENDS, "compiled", Full)
    heads = {name: head_config(name) for name in ("panpgs", "baseline")}
    failed, good = steps.step_rows(setting("nequip", mode="compiled", heads=heads))
    assert (failed["head"], failed["reason"]) == (
        "panpgs",
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    )
    assert (good["head"], good["mode"], good["atoms"]) == ("baseline", "compiled", 16)
    assert good["train_ms"] > good["inference_ms"] > 0
    assert good["train_ratio_low"] <= good["train_ratio"] <= good["train_ratio_high"]


@pytest.mark.parametrize(("several", "passed"), [(0.5, True), (0.50001, False)])
def test_several_processes_have_to_train_what_one_trains(monkeypatch, several, passed):
    losses = {"one": 0.5, "several": several}
    monkeypatch.setattr(distributed, "_trained", lambda script, directory, settings: losses[directory.name])
    (row,) = distributed.distributed_rows(setting("mace"))
    assert (row["part"], row["mode"], row["passed"]) == ("ddp", "gloo, 2 processes", passed)


def test_everything_is_planned_and_compiling_comes_last(composed):
    planned = [row for task in suite.tasks(BenchmarkSettings.from_hydra(composed())) for row in task.planned]
    assert Counter(row["part"] for row in planned) == {"physics": 9, "steps": 27, "ddp": 1}
    assert [row["head"] for row in planned[-9:]] == ["baseline"] * 3 + ["panpgs"] * 3 + ["linear"] * 3
    assert {row["mode"] for row in planned[-9:]} == {"compiled"}


def test_when_the_time_is_up_what_is_left_is_said(composed, tmp_path, capsys):
    run(composed("gpu.minutes=1e-9"))
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len(rows) == 37
    assert {row["reason"] for row in rows} == {TIME_IS_UP}
    assert "the time is up" in " ".join(capsys.readouterr().out.split())


def test_a_check_that_fails_is_an_error_at_the_end(composed, tmp_path, monkeypatch):
    row = {"part": "physics", "backbone": "mace", "head": "pan", "mode": "float64", "passed": False}
    row["checks"] = {"rotated: energy": (1e-12, 1e-9), "permuted: forces": (3e-3, 1e-9)}
    monkeypatch.setattr(suite, "tasks", lambda settings: [Task(two_rows_then, (), [row])])
    monkeypatch.setattr(suite, "measured", lambda task, deadline: iter([row]))
    message = "1 of 1 rows fail; the first, physics mace pan float64: permuted: forces differs by 3.0e-03"
    with pytest.raises(TrainingError, match=message):
        run(composed())
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"][0]["passed"] is False


@pytest.mark.slow
def test_the_whole_suite_on_a_cpu(composed, tmp_path):
    run(composed("gpu.modes=[eager,cuequivariance]", "gpu.minutes=60"))
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len(rows) == 9 + 18 + 1
    assert all(row["passed"] for row in rows if "checks" in row)
    left_out = {(row["backbone"], row["mode"]) for row in rows if "reason" in row}
    assert ("allegro", "cuequivariance") in left_out  # which has no convolution for it
    assert all(mode == "cuequivariance" for _, mode in left_out)  # or the package is not installed
