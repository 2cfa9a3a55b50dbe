"""``python benchmark.py suite=accuracy``: all trainings, one after the other."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from hydra import compose
from omegaconf import OmegaConf
from rich.console import Console

import scalarpath
from scalarpath.core.errors import ConfigError, ScalarPathError
from scalarpath.core.settings import nearest
from scalarpath.core.terminal import open_console
from scalarpath.cost.accuracy import mace, nequip, own
from scalarpath.cost.accuracy.clock import watched
from scalarpath.cost.accuracy.figure import write_figure
from scalarpath.cost.accuracy.frames import Parts, write_parts
from scalarpath.cost.accuracy.results import read_results, tables, write_markdown, write_results
from scalarpath.cost.accuracy.task import LOG_OF_COMMAND, OWN, Arm, Program, Task
from scalarpath.cost.peers.environments import Environment, environments
from scalarpath.cost.peers.results import source_hash
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.data.config import DataConfig

PEERS = {"mace": "mace_run_train", "nequip": "nequip-train", "allegro": "nequip-train"}
MODULES: dict[str, ModuleType] = {"mace_run_train": mace, "nequip-train": nequip, OWN: own}
DIGITS = 12  # of the hash of the sources
BESIDE_TRAINING = ("cost", "report", "artifacts", "evaluation", "labelling")
"""Rooms that change nothing in how a training runs."""


def run(settings: BenchmarkSettings) -> list[dict[str, Any]]:
    """Run all trainings, print tables and write JSON, Markdown and SVG; returns the results.

    Written after every training. Raises ConfigError for a wrong setting before anything runs, and at the end the first
    error of a training when one has failed.
    """
    console = open_console()
    composed = {name: _composed(name) for name in settings.accuracy.backbones}
    found, left_out = environments(asdict(settings.peers))
    arms = _arms(settings, {name: config["backbone"]["kind"] for name, config in composed.items()}, found)
    for line in left_out:
        console.print(line, highlight=False)
    path = Path(settings.output)
    folder = path.with_suffix("").absolute()
    data = DataConfig.read(settings.data)
    cutoff = max(float(config["backbone"]["cutoff"]) for config in composed.values())
    parts = write_parts(data, cutoff, folder / "frames")
    tasks = {arm: _task(arm, composed[arm.backbone], settings, parts, data, found, folder) for arm in arms}
    results, failed = _trained(tasks, found, settings, path, console)
    if results:
        write_markdown(path.with_suffix(".md"), results)
        write_figure(path.with_suffix(".svg"), results)
        console.print(*tables(results))
        written = ", ".join(str(path.with_suffix(end)) for end in (".json", ".md", ".svg"))
        console.print(f"written: {written}", soft_wrap=True)
    if failed:
        name, error = next(iter(failed.items()))
        raise type(error)(f"{len(failed)} of {len(arms)} trainings failed; the first, {name}: {error}")
    return results


def _composed(backbone: str) -> dict[str, Any]:
    """The settings of train.py with a file of conf/backbone and squared errors, which are what peers can minimise."""
    config: Any = OmegaConf.to_container(compose("train", [f"backbone={backbone}", "loss=mse"]), resolve=False)
    return cast(dict[str, Any], config)


def _arms(settings: BenchmarkSettings, kinds: Mapping[str, str], found: Mapping[str, Environment]) -> list[Arm]:
    """Every training, for each backbone its peer first: it takes longest."""
    chosen = settings.accuracy
    known = {recipe for kind in kinds.values() for recipe in MODULES[PEERS[kind]].RECIPES}
    for recipe in chosen.recipes or ():
        if recipe not in known:
            choice = ", ".join(sorted(known))
            raise ConfigError(f"accuracy.recipes: '{recipe}' is unknown{nearest(recipe, known)}; use {choice}.")
    arms = []
    for name, kind in kinds.items():
        recipes = [r for r in MODULES[PEERS[kind]].RECIPES if chosen.recipes is None or r in chosen.recipes]
        if kind in found:
            arms += [Arm(name, PEERS[kind], r, chosen.epochs, seed) for r in recipes for seed in chosen.seeds]
        budgets = sorted({max(1, round(budget * chosen.epochs)) for budget in chosen.budgets})
        arms += [Arm(name, OWN, r, e, seed) for r in chosen.own for e in budgets for seed in chosen.seeds]
    if not arms:
        raise ConfigError("suite=accuracy: nothing is left to train; give a peer, or accuracy.own and budgets.")
    return arms


def _task(
    arm: Arm,
    config: Mapping[str, Any],
    settings: BenchmarkSettings,
    parts: Parts,
    data: DataConfig,
    found: Mapping[str, Environment],
    folder: Path,
) -> Task:
    is_own = arm.program == OWN
    return Task(
        arm,
        folder / arm.folder,
        parts,
        sys.executable if is_own else found[config["backbone"]["kind"]].python,
        config["backbone"],
        data.batch_size,
        settings.dtype,
        {name: config["loss"][name] for name in parts.quantities},
        data.e0s,
    )


def _trained(
    tasks: Mapping[Arm, Task],
    found: Mapping[str, Environment],
    settings: BenchmarkSettings,
    path: Path,
    console: Console,
) -> tuple[list[dict[str, Any]], dict[str, ScalarPathError]]:
    """Results of all trainings, those kept from an earlier run included, and the errors of those that failed."""
    earlier = read_results(path) if settings.resume else []
    results = [r for r in earlier if Arm(**r["arm"]) not in tasks]
    failed: dict[str, ScalarPathError] = {}
    for number, (arm, task) in enumerate(tasks.items(), 1):
        key = _identity(task, found)
        if kept := [result for result in earlier if result["identity"] == key]:
            results += kept
            continue
        console.print(f"{number} of {len(tasks)}: {arm}", highlight=False)
        try:
            results.append({"arm": asdict(arm), "kind": task.options["kind"], "identity": key, **_train(task)})
        except ScalarPathError as error:
            failed[str(arm)] = error
            console.print(f"{arm}: {error}", style="red", soft_wrap=True, highlight=False)
        write_results(path, results, {name: str(error) for name, error in failed.items()})
    write_results(path, results, {name: str(error) for name, error in failed.items()})
    return results, failed


def _train(task: Task) -> dict[str, Any]:
    """One training under the clock, and the errors of its final model."""
    program = cast(Program, MODULES[task.arm.program])
    shutil.rmtree(task.folder, ignore_errors=True)
    task.folder.mkdir(parents=True)
    log = task.folder / LOG_OF_COMMAND
    times = watched(str(task.arm), program.command(task), task.folder, log, lambda: len(program.epochs(task)))
    curve = [
        {**row, "wall_s": round(passed.wall_s, 2), "cpu_s": round(passed.cpu_s, 2)}
        for row, passed in zip(program.epochs(task), times.epochs, strict=True)
    ]
    return {
        "wall_s": round(times.total.wall_s, 2),
        "cpu_s": round(times.total.cpu_s, 2),
        "steps": curve[-1]["steps"],
        "errors": program.final(task),
        "curve": curve,
    }


def _identity(task: Task, found: Mapping[str, Environment]) -> dict[str, Any]:
    """What must be the same for a result to be kept."""
    if task.arm.program == OWN:
        sources = source_hash(Path(scalarpath.__file__).parent, BESIDE_TRAINING)[:DIGITS]
        versions: Mapping[str, Any] = {"torch": version("torch"), "sources": sources}
    else:
        versions = dict(found[task.options["kind"]].versions)
    return {
        **asdict(task.arm),
        "options": dict(task.options),
        "data": task.parts.hash,
        "sizes": dict(task.parts.sizes),
        "batch_size": task.batch_size,
        "dtype": task.dtype,
        "weights": dict(task.weights),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
