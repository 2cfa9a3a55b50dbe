"""Damaged run directories: one sentence of every command that reads them, or the numbers of the sound run."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import commands
import pytest
from damage import damaged_bytes
from isolation import outcome
from overrides import FRAMES

FILES = (
    "config.yaml", "provenance.json", "splits.json", "summary.json", "status.json", "metrics.csv", "test_frames.csv",
    "label_audit.json", "statistics.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
)  # fmt: skip
ARGUMENTS = {
    "evaluate": ["run=RUN", "artifact=null", "output_dir=evaluated"],
    "report": ["runs=RUN", "bootstrap.samples=100", "output=report"],
    "train": ["resume=RUN"],
    "export": ["run=RUN", "file=model.sp"],
    "predict": ["model=RUN", f"path={FRAMES}@0:3", "output=predicted.extxyz"],
}
UNFINISHED = ("summary.json", "test_frames.csv")  # what a run lacks that a machine took down


@pytest.fixture(scope="module")
def runs(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A finished run, and the same one as if it had been killed before its last words."""
    killed = tmp_path_factory.mktemp("killed") / "run"
    shutil.copytree(finished_run, killed)
    for name in UNFINISHED:
        (killed / name).unlink()
    status = json.loads((killed / "status.json").read_text())
    (killed / "status.json").write_text(json.dumps({**status, "state": "failed"}))
    return {"finished": finished_run, "killed": killed}


def try_run(seed: int, runs: dict[str, Path], folder: Path) -> list[str]:
    """What is wrong with one command on one damaged run."""
    rng = random.Random(seed)
    command = rng.choice(list(ARGUMENTS))
    state = "killed" if command == "train" else "finished"
    run = folder / str(seed)
    shutil.copytree(runs[state], run)
    file = run / rng.choice([name for name in FILES if (run / name).exists()])
    name, content = damaged_bytes(file.read_bytes(), rng)
    file.write_bytes(content)
    arguments = [text.replace("RUN", str(run)) for text in ARGUMENTS[command]]
    (folder / f"in{seed}").mkdir()
    found = outcome(commands.run, command, arguments, folder / f"in{seed}", output=folder / "out")
    what = f"{command} with {file.relative_to(run)} ({name}, seed {seed})"
    if found.kind == "fault":
        return [f"{what}: {found.text}"]
    results = {"evaluate": folder / f"in{seed}" / "evaluated" / "artifacts" / "test_errors.json"}.get(
        command, run / "summary.json"
    )
    if found.kind == "done" and command in ("evaluate", "train"):
        sound = json.loads((runs["finished"] / "summary.json").read_text())
        now = json.loads(results.read_text())
        changed = [key for key in now if key.startswith("test/") and now[key] != pytest.approx(sound[key], rel=1e-6)]
        return [f"{what}: {key} is {now[key]}, of the sound run {sound[key]}" for key in changed]
    return []


@pytest.mark.parametrize(
    "seeds", [range(6), pytest.param(range(6, 100), marks=pytest.mark.slow)], ids=["sample", "all"]
)
def test_a_damaged_run_is_refused_or_gives_its_numbers(seeds: range, runs: dict[str, Path], tmp_path: Path) -> None:
    assert not [text for seed in seeds for text in try_run(seed, runs, tmp_path)]
