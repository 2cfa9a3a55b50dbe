"""Several processes train what one process trains, and fail together."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
import yaml
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from toy_training import new_directory, toy_job

from scalarpath.core.errors import TrainingError
from scalarpath.core.termination import Terminated
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.training.callbacks.first_failure import FirstFailure
from scalarpath.training.fit import _trainer

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("distributed_probe.py")
ARGUMENTS = (
    "experiment=smoke", "dtype=float64", "head=panpgs", "data.batch_size=4", "measure_overhead=false",
    "callbacks.progress.style=none",
)  # fmt: skip


def train(*arguments: str, cwd: Path, status: int = 0, script: Path = ROOT / "train.py", **variables: str) -> str:
    """Standard error of a training that must end with ``status``."""
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", **variables}
    command = [sys.executable, str(script), *arguments]
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert result.returncode == status, result.stderr
    return result.stderr


def metrics(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def uneven_frames(path: Path) -> None:
    """17 cells of 5 to 8 atoms, a third of them without stress."""
    rng = np.random.default_rng(3)
    frames = []
    for k in range(17):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.1, rng=rng)
        del atoms[rng.permutation(8)[: k % 4]]
        atoms.calc = LennardJones(sigma=2.1, epsilon=0.3, rc=5.0, smooth=True)
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        labels |= {"stress": atoms.get_stress()} if k % 3 else {}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    write(path, frames)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "relative", "absolute"),
    [
        ("adamw", 1e-6, 1e-9),
        ("soap", 1e-5, 1e-6),
        ("muon", 1e-5, 1e-6),
        ("schedule_free scheduler=constant callbacks.ema=null", 1e-6, 1e-9),
    ],
    ids=["adamw", "soap", "muon", "schedule_free"],
)
def test_two_processes_give_gradients_weights_and_errors_of_one_on_uneven_batches(
    tmp_path: Path, optimizer: str, relative: float, absolute: float
) -> None:
    """9 train frames in batches of 4: the last batch is one frame for two processes.

    SOAP and Muon also step along directions that the gradients have hardly shown, where rounding counts for more.
    """
    uneven_frames(tmp_path / "frames.extxyz")
    data = ("data=extxyz", "data.path=frames.extxyz", "data.train_size=9", *f"optimizer={optimizer}".split())
    for name, trainer in (("one", "cpu"), ("two", "ddp_cpu")):
        (tmp_path / f"gradients_{name}").mkdir()
        gradients = {"PROBE_GRADIENTS": f"gradients_{name}"}
        train(*ARGUMENTS, *data, f"trainer={trainer}", f"output_dir={name}", cwd=tmp_path, script=PROBE, **gradients)

    steps = sorted(path.name for path in (tmp_path / "gradients_one").iterdir())
    assert len(steps) == 2 * 3
    for step in steps:
        one, two = (torch.load(tmp_path / f"gradients_{name}" / step, weights_only=True) for name in ("one", "two"))
        scale = max(float(gradient.abs().max()) for gradient in one.values())
        for name, gradient in one.items():
            torch.testing.assert_close(two[name], gradient, rtol=relative, atol=1e-3 * relative * scale)
    one, two = (torch.load(tmp_path / d / "checkpoints/last.ckpt", weights_only=True) for d in ("one", "two"))
    for name, weight in one["state_dict"].items():
        torch.testing.assert_close(two["state_dict"][name], weight, rtol=relative, atol=absolute)
    for row, other in zip(metrics(tmp_path / "one"), metrics(tmp_path / "two"), strict=True):
        assert float(row["train/energy_labels"]) == 9
        for column in row:
            if not column.startswith("time/"):
                assert float(other[column]) == pytest.approx(float(row[column]), rel=relative), column
    assert (tmp_path / "two" / "summary.json").exists()


@pytest.mark.slow
def test_a_sweep_over_several_processes_runs_every_job_in_its_own_processes(tmp_path: Path) -> None:
    """Without an output_dir the processes of a job still write to one directory."""
    train("--multirun", *ARGUMENTS, "trainer=ddp_cpu", "seed=0,1", "hydra.sweep.dir=sweep", cwd=tmp_path)
    runs = sorted(path.parent for path in tmp_path.glob("sweep/*/summary.json"))
    assert [run.name.rsplit("_", 1)[0] for run in runs] == ["si_mace_panpgs_s0", "si_mace_panpgs_s1"]
    assert [yaml.safe_load((run / "config.yaml").read_text())["seed"] for run in runs] == [0, 1]
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_process_ends_all_with_its_message(tmp_path: Path, rank: int) -> None:
    arguments = (*ARGUMENTS, "trainer=ddp_cpu", "trainer.max_epochs=1000", "output_dir=run")
    errors = train(*arguments, cwd=tmp_path, status=2, script=PROBE, PROBE_FAILS=str(rank))
    ended = time.time()
    assert errors.splitlines()[-1].endswith("a cosmic ray has struck.")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["error"].endswith("a cosmic ray has struck.")) == ("failed", True)
    assert ("process 1 of 2" in status["error"]) == (rank == 1)
    assert ended - (tmp_path / "run" / "failure.txt").stat().st_mtime < 15
    here = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(PROBE) in _text(path)]
    assert here == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (signal.SIGKILL, "process 1 of 2 was killed by signal 9 (is the memory large enough?)"),
        (signal.SIGTERM, "process 1 of 2: interrupted (SIGTERM)."),
    ],
)
def test_a_process_that_is_lost_is_named_in_one_sentence(tmp_path: Path, number: int, sentence: str) -> None:
    arguments = (*ARGUMENTS, "trainer=ddp_cpu", "trainer.max_epochs=1000", "output_dir=run")
    errors = train(*arguments, cwd=tmp_path, status=2, script=PROBE, PROBE_SIGNAL=f"1:{number:d}")
    assert [line for line in errors.splitlines() if "gloo" in line or "Traceback" in line] == []
    assert errors.splitlines()[-1].startswith(f"error: {sentence}")
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["state"], status["error"].startswith(sentence)) == ("failed", True)


GLOO = "[/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer"


@pytest.mark.parametrize(
    ("error", "noted"),
    [
        (RuntimeError(GLOO), None),
        (RuntimeError("bug"), "process 1 of 2: RuntimeError: bug"),
        (TrainingError("loss is NaN."), "process 1 of 2: loss is NaN."),
        (Terminated(signal.SIGTERM), "process 1 of 2: interrupted (SIGTERM)."),
    ],
)
def test_the_first_failure_is_no_lost_connection(tmp_path: Path, error: BaseException, noted: str | None) -> None:
    """The other processes lose theirs to the one that fails, and may be quicker with it."""
    launcher = SimpleNamespace(procs=[])
    trainer: Any = SimpleNamespace(
        world_size=2, global_rank=1, is_global_zero=False, strategy=SimpleNamespace(launcher=launcher)
    )
    failure, directory = FirstFailure(new_directory(tmp_path / "run")), RunDirectory(tmp_path / "run")
    failure.on_exception(trainer, SimpleNamespace(), error)
    assert (directory.failure.read_text() if directory.failure.exists() else None) == noted
    if noted is None:
        with pytest.raises(TrainingError, match="process 1 of 2 has lost its connection to another one, which has"):
            failure.end_all(trainer, error)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def test_nodes_and_slurm_tasks_reach_lightning(monkeypatch) -> None:
    """Two nodes with two tasks each; this is the third task."""
    variables = {"NTASKS": "4", "NTASKS_PER_NODE": "2", "NNODES": "2", "PROCID": "2", "LOCALID": "0", "NODEID": "1"}
    for name, value in {**variables, "JOB_ID": "1", "JOB_NAME": "sweep", "NODELIST": "node[1-2]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # where Lightning leaves it for the whole process
    settings = toy_job(trainer={"strategy": "ddp", "devices": 2, "num_nodes": 2}).trainer
    trainer: pl.Trainer = _trainer(settings, [], [])
    assert (trainer.num_nodes, trainer.world_size, trainer.global_rank, trainer.local_rank) == (2, 4, 2, 0)
    environment = trainer.strategy.cluster_environment  # type: ignore[attr-defined]
    assert isinstance(environment, SLURMEnvironment)
    assert environment.creates_processes_externally
