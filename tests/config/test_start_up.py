"""How long the first answer takes, in CPU time, which other programs of the machine do not add to.

The measure is the import of torch in a process of its own: 1.2 s on the machine for which the limits were set (2 s for
an answer, 6 s for the first step), and as much longer as a slower or fuller machine needs. What others do to caches and
clocks of the processor comes and goes within seconds, so that the import is timed right before the command, and a
command is too slow only if it is so in each of its tries.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import ROOT, train_py

ANSWER, FIRST_STEP = 2 / 1.2, 6 / 1.2  # imports of torch
TRIES = 3
COMMANDS = ("train", "import_", "benchmark")  # all import the same: scalarpath.cli
HEAVY = ("torch", "e3nn", "pytorch_lightning", "torch_geometric", "torchmetrics", "scipy", "matplotlib", "phonopy")


def cpu_seconds(*command: str, cwd: Path) -> tuple[int, float]:
    """Exit status and CPU seconds of a command."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def imports_of_torch(measure: Callable[[], float], limit: float, cwd: Path) -> float:
    """CPU seconds that ``measure`` returns, in imports of torch: the first try below the limit, or the best of all."""
    best = math.inf
    for _ in range(TRIES):
        unit = cpu_seconds(sys.executable, "-c", "import torch", cwd=cwd)[1]
        best = min(best, measure() / unit)
        if best < limit:
            break
    return best


def test_help_comes_without_what_takes_seconds(tmp_path: Path) -> None:
    code = (
        "import contextlib, sys, scalarpath.cli as cli\n"
        "from hydra.core.global_hydra import GlobalHydra\n"
        f"for name in {COMMANDS}:\n"
        "    sys.argv = [name, '--help']\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        getattr(cli, name)()\n"
        "    GlobalHydra.instance().clear()\n"
        f"print('imported:', [name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.count("Powered by Hydra") == len(COMMANDS)
    assert found.stdout.endswith("imported: []\n")


@pytest.mark.parametrize(
    ("script", "arguments", "status"),
    [
        ("train.py", ["--help"], 0),
        ("train.py", ["backbone.num_channels=abc"], 2),  # the backbone itself says what it takes
        ("train.py", ["head=panpgs", "head.parts.edge_band.rank=0"], 2),
        ("predict.py", ["model=nowhere", "path=.", "output=out.extxyz"], 2),
        ("benchmark.py", ["heads=[panpsg]"], 2),
        ("import.py", ["kind=macee", "file=x", "output=y"], 2),
        ("benchmark.py", ["device=cuda:99"], 2),  # what torch says, and no more is imported
        ("train.py", ["data=extxyz", f"data.path={__file__}", "artifacts=smoke"], 2),
    ],
)
def test_an_answer_comes_at_once(script: str, arguments: list[str], status: int, tmp_path: Path) -> None:
    def answer() -> float:
        found, seconds = cpu_seconds(sys.executable, str(ROOT / script), *arguments, cwd=tmp_path)
        assert found == status
        return seconds

    assert imports_of_torch(answer, ANSWER, tmp_path) < ANSWER


EMT = "calculator=ase.calculators.emt:EMT"
PEER = f"peers.mace={sys.executable}"


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("evaluate", [EMT, "structure=missing.cif"], "structure=missing.cif: no such file"),
        ("evaluate", [EMT, "structure=text", "reference=no:thing"], "reference = no:thing cannot be imported"),
        ("evaluate", ["calculator=no:thing", "structure=text"], "calculator = no:thing cannot be imported"),
        ("evaluate", [EMT, "material=ag", "device=cuda:99"], "device=cuda:99: torch"),
        ("train", ["data=extxyz", "data.path=text", "artifacts=smoke"], "belongs to no material"),
        ("train", ["init_from=text"], "text is damaged or no checkpoint"),
        ("predict", ["model=text", "path=text", "output=out.extxyz"], "text is damaged or no checkpoint"),
        ("benchmark", ["structure=si65"], "structure must be si8, si64"),
        ("benchmark", ["suite=peers", PEER, "structures=[si65]"], "structures must be si8, si64"),
        ("benchmark", ["suite=peers", PEER, "cases=[nequip]"], "cases must be one of mace_64_L0"),
        ("benchmark", ["suite=accuracy", PEER, "accuracy.backbones=[mace_larg]"], "did you mean 'mace_large'"),
        ("benchmark", ["suite=training", "training.data=gold"], "the data 'gold' is unknown; use ag"),
        ("benchmark", ["suite=profile", "profile.head=pann"], "did you mean 'pan'"),
    ],
)
def test_a_name_that_is_none_is_told_before_what_takes_seconds_is_imported(
    command: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("no atoms, no weights")
    code = (
        f"import sys, scalarpath.cli as cli\n"
        f"try: cli.{command}()\nexcept SystemExit as stop: print('status', stop.code)\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert message in found.stderr
    *_, status, imported = found.stdout.split("\n")[:-1]
    assert status == "status 2"
    # measures of the bench need scipy, which takes a quarter of a second, and of devices torch alone knows
    assert set(imported.split()) <= ({"scipy", "torch"} if "device" in message else {"scipy"})


def test_the_first_epoch_begins_soon(tmp_path: Path) -> None:
    def first_epoch() -> float:
        parts = tmp_path / "parts.json"
        result = train_py("experiment=smoke", "trainer.max_epochs=1", cwd=tmp_path, SCALARPATH_TIMES=str(parts))
        assert result.returncode == 0, result.stderr
        times = json.loads(parts.read_text())
        hooks = [name for name in times if name.startswith(("[", "run_training"))]
        before = sum(times[name][0] for name in list(times)[: list(times).index(hooks[0])])
        return before + sum(times[name][0] for name in hooks)  # to the end of the first epoch: more than the first step

    assert imports_of_torch(first_epoch, FIRST_STEP, tmp_path) < FIRST_STEP
