"""``python benchmark.py suite=gpu``: physics, several processes, steps and peers on a GPU, one row each."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from scalarpath.core.errors import TrainingError
from scalarpath.core.files import write_json
from scalarpath.core.terminal import open_console
from scalarpath.cost.gpu import distributed, peers
from scalarpath.cost.gpu.checks import check_rows
from scalarpath.cost.gpu.rows import Task, measured
from scalarpath.cost.gpu.steps import step_rows
from scalarpath.cost.gpu.table import name, tables, worst
from scalarpath.cost.named import arm_of, named_config
from scalarpath.cost.output import write_result
from scalarpath.cost.peers.cases import Case
from scalarpath.cost.peers.environments import environments
from scalarpath.cost.settings import BenchmarkSettings

PACKAGES = ("torch", "triton", "cuequivariance-torch", "cuequivariance-ops-torch-cu12", "cuequivariance-ops-torch-cu13")
SIZES: dict[str, dict[str, Any]] = {
    "production": {
        "backbones": {name: {} for name in ("mace_large", "nequip_large", "allegro_large")},
        "structure": "si64x8",
        "peers": ("mace_128_L1", "nequip_32_l2", "allegro_64_32_l2"),
    },
    "smoke": {
        "backbones": {
            "mace": {"num_channels": 4, "max_ell": 2, "radial_mlp": [8], "readout_mlp": 4},
            "nequip": {"num_layers": 2, "l_max": 1, "num_features": [4, 3], "radial_mlp_width": 8},
            "allegro": {"l_max": 1, "num_scalar_features": 4, "num_tensor_features": 3},
        },
        "structure": "si8x4",
        "peers": ("mace_64_L0", "nequip_S"),
    },
}


def run(settings: BenchmarkSettings) -> dict[str, Any]:
    """Measure all rows until the time is up, print them and write them as JSON, after every row.

    What cannot be measured is a row with its reason. Raises TrainingError at the end where a check has failed.
    """
    started = time.monotonic()
    deadline = started + 60.0 * settings.gpu.minutes
    result: dict[str, Any] = {
        "suite": "gpu", "size": settings.gpu.size, "machine": machine(settings.device), "rounds": settings.rounds,
        "seed": settings.seed, "structure": SIZES[settings.gpu.size]["structure"], "rows": [],
    }  # fmt: skip
    console = open_console()
    with console.status("") as status:
        for task in tasks(settings):
            status.update(f"{name(task.planned[0])} ({time.monotonic() - started:.0f} s)")
            for row in measured(task, deadline):
                result["rows"].append(row)
                result["seconds"] = time.monotonic() - started
                write_json(Path(settings.output), result)
    write_result(settings, result, tables(result))
    failed = [row for row in result["rows"] if row.get("passed") is False]
    if failed:
        what, value, limit = worst(failed[0])
        raise TrainingError(
            f"{len(failed)} of {len(result['rows'])} rows fail; the first, {name(failed[0])}: {what} differs by "
            f"{value:.1e} of the largest value, more than {limit:.0e}."
        )
    return result


def tasks(settings: BenchmarkSettings) -> Iterator[Task]:
    """What is measured, the most important first; compiled steps, a minute or so each, come last and one by one."""
    size = SIZES[settings.gpu.size]
    backbones = {kind: named_config("backbone", kind) | changes for kind, changes in size["backbones"].items()}
    heads = {head: arm_of(head) for head in dict.fromkeys(["baseline", *settings.gpu.heads])}
    common = {
        "device": settings.device, "seed": settings.seed, "rounds": settings.rounds, "structure": size["structure"],
        "baseline": heads["baseline"],
    }  # fmt: skip

    def of_heads(part: str, backbone: str, mode: str, some: Mapping[str, Any]) -> Task:
        setting = {**common, "name": backbone, "backbone": backbones[backbone], "mode": mode, "heads": some}
        planned = [{"part": part, "backbone": backbone, "head": head, "mode": mode} for head in some]
        return Task(check_rows if part == "physics" else step_rows, (setting,), planned)

    for backbone in backbones:
        yield of_heads("physics", backbone, "float64", heads)
    for own in settings.gpu.modes:
        if own != "compiled":
            yield from (of_heads("steps", backbone, own, heads) for backbone in backbones)
    yield Task(distributed.distributed_rows, (common,), distributed.planned_rows(settings.device))
    found, _ = environments(asdict(settings.peers))
    for model in size["peers"]:
        for mode in peers.MODES:
            case = Case(model, size["structure"], "float32", 1, mode, settings.device)
            if case.kind in found:
                yield Task(peers.peer_rows, (common, case, found[case.kind].python), peers.planned_rows(case))
    if "compiled" in settings.gpu.modes:
        for head in heads:
            yield from (of_heads("steps", backbone, "compiled", {head: heads[head]}) for backbone in backbones)


def machine(device: str) -> dict[str, Any]:
    """What was measured on: processor, GPUs, versions."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return {"device": device, "gpus": names, "cuda": torch.version.cuda, "processor": platform.machine(), **found}
