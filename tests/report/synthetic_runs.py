"""Run directories with known errors."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from scalarpath.report.aggregate import Aggregate, aggregate
from scalarpath.report.settings import BootstrapSettings, DashboardSettings, ReportSettings

Frames = Sequence[Mapping[str, Any]]

SPREAD = (-0.021, -0.009, 0.001, 0.01, 0.019)
"""Log-ratios of five seeds about their mean: t interval of +- 0.0195 about it."""

CONFIG: dict[str, Any] = {
    "data": {"name": "si", "path": "si/frames.extxyz", "split_seed": 0, "batch_size": 5, "max_edges": None},
    "backbone": {"kind": "mace", "cutoff": 5.0},
    "head": {"name": "baseline", "parts": {}},
    "loss": {"kind": "mse", "forces": 10.0},
    "optimizer": {"lr": 0.01},
    "trainer": {"max_epochs": 3, "max_time": None, "threads": 1},
    "callbacks": {"ema": {"decay": 0.99}, "early_stopping": None, "progress": {"style": "none"}},
    "logger": {"kind": "csv", "wandb": None},
    "seed": 0,
    "dtype": "float32",
    "compile": False,
    "kernels": None,
    "measure_overhead": False,
    "evaluate_test": True,
}
OFFSET = 1000.0  # meV/atom between the zeros of energy of two methods


def report_of(
    *places: Path, samples: int = 200, seed: int = 0, part: str | None = None, claims: str | None = "published"
) -> Aggregate:
    """What a report on the runs in ``places`` says, with verdicts on the published claims."""
    bootstrap, dashboard = BootstrapSettings(samples, seed), DashboardSettings("", None)
    return aggregate(ReportSettings(list(map(str, places)), {}, part, claims, bootstrap, False, dashboard, ""))


def write_run(
    folder: Path,
    arm: str = "baseline",
    seed: int = 0,
    *,
    data: str = "si",
    backbone: str = "mace",
    forces: float = 100.0,
    settings: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
    frames: Frames | None = None,
    data_hash: str | None = None,
    test: Sequence[int] = (4, 5),
    commit: str = "a" * 40,
    others: Mapping[str, float] | None = None,
) -> Path:
    """A finished run; energy and stress errors are a tenth and a twentieth of the force error.

    others: factors by which errors on other parts (``train_frames``, ``valid_frames``) differ from those on test;
    settings: changes by dotted key; frames: rows of test_frames.csv, from which the errors are then taken.
    """
    path = folder / f"{data}_{backbone}_{arm}_{seed}"
    path.mkdir(parents=True)
    config = deepcopy(CONFIG)
    own = {"data.name": data, "backbone.kind": backbone, "head.name": arm, "seed": seed, "output_dir": str(path)}
    for key, value in {**own, **(settings or {})}.items():
        *groups, name = key.split(".")
        section = config
        for group in groups:
            section = section.setdefault(group, {})
        section[name] = value
    write_json(path / "config.yaml", config)  # JSON is YAML, and quick to write
    errors = {"forces": forces, "energy": forces / 10, "stress": forces / 20}
    if frames is not None:
        errors |= totals(frames)
        with (path / "test_frames.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(frames[0]))
            writer.writeheader()
            writer.writerows(frames)
    units = {"forces": "meV_A", "energy": "meV_atom", "stress": "meV_A3"}
    content: dict[str, Any] = {
        "data": data, "backbone": backbone, "head": arm, "seed": seed, "dtype": "float32", "device": "cpu",
        "stopped_by": "max_epochs", "epochs": 3, "parameters/total": 1000, "time/step_ms": 10.0, "time/wall_s": 60.0,
        "hash/data": "d", "hash/config": "c",
    }  # fmt: skip
    for part, factor in (others or {}).items():
        content |= {f"{part}/{prop}_mae_{units[prop]}": factor * value for prop, value in errors.items()}
    for prop, value in errors.items():
        content |= {f"test/{prop}_mae_{units[prop]}": value, f"test/{prop}_rmse_{units[prop]}": 1.5 * value}
    write_json(path / "summary.json", {**content, **(summary or {})})
    write_json(
        path / "provenance.json",
        {"data_hash": data_hash or f"hash of {data}", "git": {"commit": commit, "dirty": False}},
    )
    write_json(path / "splits.json", {"train": [0, 1, 2], "valid": [3], "test": list(test)})
    write_json(path / "status.json", {"state": "finished", "pid": 1, "error": None})
    header = "epoch," + ",".join(f"val/{prop}_mae_{unit}" for prop, unit in units.items())
    lines = [f"{epoch},{forces * 3 / epoch},1,1" for epoch in (1, 2, 3)]
    (path / "metrics.csv").write_text("\n".join([header, *lines]) + "\n")
    return path


def write_arm(folder: Path, arm: str, log_ratios: Sequence[float], *, start: float = 100.0, **more: Any) -> None:
    """Runs of one arm with errors ``start`` x (1 + seed/10) x exp(log ratio), seeds from 0."""
    for seed, value in enumerate(log_ratios):
        write_run(folder, arm, seed, forces=start * (1 + seed / 10) * math.exp(value), **more)


def write_ladder(folder: Path, arm: str, rungs: Mapping[int, Sequence[float]], **more: Any) -> None:
    """Runs of one arm with 4 steps an epoch, by number of epochs; values: force errors of the seeds from 0."""
    for epochs, errors in rungs.items():
        for seed, forces in enumerate(errors):
            summary = {"epochs": epochs, "steps": 4 * epochs, **more.get("summary", {})}
            settings = {"trainer.max_epochs": epochs, **more.get("settings", {})}
            write_run(
                folder / f"{epochs}", arm, seed, forces=forces, **{**more, "settings": settings, "summary": summary}
            )


def write_unfinished(folder: Path, state: str, error: str | None = None) -> Path:
    """A run without summary."""
    path = write_run(folder)
    (path / "summary.json").unlink()
    write_json(path / "status.json", {"state": state, "pid": 1, "error": error})
    return path


def about(percent: float, spread: Sequence[float] = SPREAD) -> list[float]:
    """Log-ratios whose mean is a change by so many percent."""
    return [math.log1p(percent / 100) + value for value in spread]


def frame(index: int, group: str, atoms: int, energy: float, forces: float, stress: float | str = "") -> dict[str, Any]:
    """A row of test_frames.csv."""
    return {
        "frame": index, "group": group, "atoms": atoms, "energy_error_meV_atom": energy, "forces_mae_meV_A": forces,
        "forces_rmse_meV_A": forces, "stress_mae_meV_A3": stress,
    }  # fmt: skip


def totals(frames: Frames) -> dict[str, float]:
    """Test errors of frames."""
    atoms = sum(row["atoms"] for row in frames)
    errors = {
        "forces": sum(row["atoms"] * row["forces_mae_meV_A"] for row in frames) / atoms,
        "energy": sum(abs(row["energy_error_meV_atom"]) for row in frames) / len(frames),
    }
    stresses = [row["stress_mae_meV_A3"] for row in frames if row["stress_mae_meV_A3"] != ""]
    return errors | ({"stress": sum(stresses) / len(stresses)} if stresses else {})


def measured(run: Path, forces: float, *, file: str = "other.extxyz", frames_hash: str = "h", **more: Any) -> Path:
    """What evaluate.py frames= writes of a file; energies are OFFSET away, as between two methods."""
    folder = run / "artifacts"
    folder.mkdir(exist_ok=True)
    path = folder / f"frames_{file}.json"
    content = {"file": f"/data/{file}", "frames": 2, "frames_hash": frames_hash, "frames/forces_mae_meV_A": forces}
    write_json(path, {**content, "frames/energy_mae_meV_atom": OFFSET, **more})
    rows = [f"0,,4,{OFFSET - forces},1", f"1,,4,{OFFSET + forces},1", f"2,,4,{OFFSET},1"]
    path.with_suffix(".csv").write_text("\n".join(["frame,group,atoms,energy_error_meV_atom,forces_mae_meV_A", *rows]))
    return path


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))
