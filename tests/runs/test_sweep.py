"""Sweeps: jobs are found again by their settings, skipped, continued, reported; here with trainings that are faked."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from omegaconf import OmegaConf

from scalarpath import cli
from scalarpath.artifacts.oracles import ORACLES
from scalarpath.core.errors import ConfigError, InUseError
from scalarpath.core.overrides import next_command
from scalarpath.core.resources import CONF_DIR
from scalarpath.core.termination import Terminated
from scalarpath.runs import processes
from scalarpath.runs import sweep as sweep_module
from scalarpath.runs.identity import config_hash
from scalarpath.runs.job import Job, plain_config
from scalarpath.runs.lock import new_directory, sole_use
from scalarpath.runs.processes import shared_directory
from scalarpath.runs.run_directory import RunDirectory
from scalarpath.runs.sweep import RECORDS, SweepStart, threads_per_process
from scalarpath.runs.sweep_table import print_sweep

SOURCES = Path(__file__).parents[2] / "src"


class FakeTrainings:
    """In place of ``run_in_own_process``: seed 1 fails, seed 2 is killed after an epoch, the others finish."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []
        self.threads: list[int] = []

    def __call__(self, config_file: Path, log: Path, *, threads: int, quiet: bool, fork: bool) -> int:
        settings = OmegaConf.load(config_file)
        resume = settings.get("resume")
        path = Path(resume or settings.output_dir)
        directory = RunDirectory.reopen(path) if resume else RunDirectory.create(path)
        seed = int(path.name.split("_s")[-1].split("_")[0])
        self.started.append(("resume" if resume else "new", seed))
        self.threads.append(threads)
        if seed == 1:
            directory.fail("")
            log.write_text("some warning\nerror: loss nan in epoch 1; lower optimizer.lr.\nlast words of a library\n")
            return 2
        if not resume:
            directory.write_text("config.yaml", config_file.read_text())
        (directory.checkpoints / "last.ckpt").write_bytes(b"weights")
        if seed == 2 and not resume:
            log.touch()
            return -9
        errors = {"valid_frames/energy_mae_meV_atom": 11.5}
        if resume or settings.evaluate_test:
            errors |= {"test/energy_mae_meV_atom": 12.34, "test/forces_mae_meV_A": 1234.5}
        directory.finish({"best/val/loss": 0.5 + seed, "stopped_by": "max_epochs", **errors})
        return 0


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch) -> FakeTrainings:
    fake = FakeTrainings()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep_module, "run_in_own_process", fake)
    monkeypatch.setenv(RECORDS, "")  # so that it is put back
    state = Singleton.get_state()
    yield fake
    Singleton.set_state(state)


def train(monkeypatch, *arguments: str) -> int:
    """Exit status of ``train.py -m ... hydra.sweep.dir=sweep`` in this process."""
    GlobalHydra.instance().clear()
    command = ["train.py", "-m", "measure_overhead=false", *arguments, "hydra.sweep.dir=sweep"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(print_sweep, "__defaults__", (tuple(command),))
    try:
        cli.train()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def states() -> dict[str, str]:
    """State of every job of the latest launch by the start of its folder's name."""
    jobs = [json.loads(file.read_text()) for file in Path(os.environ[RECORDS]).glob("*.json")]
    return {Path(job["directory"]).name.rsplit("_", 1)[0]: job["state"] for job in jobs}


def test_a_failed_and_a_killed_job_do_not_stop_the_others_and_are_listed(trainings, monkeypatch, capsys) -> None:
    assert train(monkeypatch, "seed=0,1,2,3") == 1
    assert trainings.started == [("new", 0), ("new", 1), ("new", 2), ("new", 3)]
    assert states() == {
        "si_mace_baseline_s0": "finished", "si_mace_baseline_s1": "failed",
        "si_mace_baseline_s2": "failed", "si_mace_baseline_s3": "finished",
    }  # fmt: skip
    shown = capsys.readouterr().out
    assert "sweep: 2 finished, 2 failed" in shown
    assert "loss nan in epoch 1; lower optimizer.lr." in shown
    assert "killed by signal 9" in shown
    assert "sweep/si_mace_baseline_s1_" in shown
    assert re.search(
        r"started: si_mace_baseline_s0_\w+\n1 of 4: .*_s0_\w+ finished, 12\.3 meV/atom, 1234 meV/Å\n", shown
    )
    assert re.search(r"2 of 4: si_mace_baseline_s1_\w+ failed, loss nan in epoch 1; lower optimizer.lr.\n", shown)
    assert re.search(r"meV/atom +meV/Å +val/loss +min *\n", shown)
    assert re.search(r"si_mace_baseline_s3_\w+ +finished +12\.34 +1234 +3\.5 +0\.0 *\n", shown)
    assert "Go on with: python train.py -m measure_overhead=false seed=0,1,2,3 hydra.sweep.dir=sweep" in shown


@pytest.mark.parametrize("alone", [True, False])
def test_an_interrupted_job_is_no_failure_and_ends_the_sweep_if_that_is_interrupted(
    trainings, monkeypatch, alone: bool
) -> None:
    """``alone``: only the process of the job gets the signal."""

    def interrupted(config_file: Path, log: Path, **settings) -> int:
        RunDirectory.create(Path(OmegaConf.load(config_file).output_dir))
        if not alone:
            raise Terminated(signal.SIGTERM)
        return 128 + signal.SIGTERM

    monkeypatch.setattr(sweep_module, "run_in_own_process", interrupted)
    assert train(monkeypatch, "seed=0,3") == (1 if alone else 128 + signal.SIGTERM)
    seeds = (0, 3) if alone else (0,)
    assert states() == {f"si_mace_baseline_s{seed}": "interrupted" for seed in seeds}


def test_started_again_it_skips_finished_jobs_and_continues_killed_ones(trainings, monkeypatch, capsys) -> None:
    assert train(monkeypatch, "seed=0,2") == 1
    trainings.started.clear()
    assert train(monkeypatch, "seed=0,2") == 0
    assert trainings.started == [("resume", 2)]
    assert states() == {"si_mace_baseline_s0": "skipped", "si_mace_baseline_s2": "resumed"}
    assert "sweep: 1 resumed, 1 skipped" in capsys.readouterr().out


def test_an_extended_sweep_finds_its_earlier_jobs_whatever_their_number(trainings, monkeypatch) -> None:
    assert train(monkeypatch, "seed=0,3") == 0
    trainings.started.clear()
    assert train(monkeypatch, "head=panpgs,baseline", "seed=3,4,0") == 0
    assert sorted(trainings.started) == [("new", 0), ("new", 3), ("new", 4), ("new", 4)]
    assert list(states().values()).count("skipped") == 2


def test_a_ladder_is_the_default_budget_and_its_doublings_for_chosen_heads(trainings, monkeypatch, capsys) -> None:
    default = OmegaConf.load(CONF_DIR / "trainer/cpu.yaml").max_epochs
    params = OmegaConf.load(CONF_DIR / "experiment/ladder.yaml").hydra.sweeper.params
    assert params["trainer.max_epochs"] == ",".join(str(default * factor) for factor in (1, 2, 4, 8))
    chosen = (
        "experiment=ladder",
        "hydra/launcher=basic",
        "data=ag",
        "head=ctrl_mlp",
        "seed=0",
        "trainer.max_epochs=2,4",
    )
    assert train(monkeypatch, *chosen) == 0
    assert sorted(OmegaConf.load(file).trainer.max_epochs for file in Path("sweep").glob("ag_*/config.yaml")) == [2, 4]
    assert trainings.started == [("new", 0), ("new", 0)]
    assert "2 of 2: ag_mace_ctrl_mlp_s0_" in capsys.readouterr().out  # and not of the 24 of the experiment alone


def test_artifacts_are_measured_near_equilibrium_and_on_all_frames(trainings, monkeypatch) -> None:
    params = OmegaConf.load(CONF_DIR / "experiment/artifacts.yaml").hydra.sweeper.params
    assert set(params["data"].split(",")) == {f"{name}{end}" for name in ORACLES for end in ("", "_near")}
    chosen = ("data=lif_bm_near,lif_bm", "head=baseline", "seed=0", "hydra/launcher=basic")
    assert train(monkeypatch, "experiment=artifacts", *chosen) == 0
    jobs = [OmegaConf.load(file) for file in sorted(Path("sweep").glob("lif_bm_*/config.yaml"))]
    assert [(job.artifacts, job.data.train_where) for job in jobs] == [
        ("short", None),
        ("short", {"config_type": ["crystal*", "strained"]}),
    ]


def test_another_setting_makes_another_job(trainings, monkeypatch) -> None:
    assert train(monkeypatch, "seed=0") == 0
    assert train(monkeypatch, "seed=0", "optimizer.lr=0.002") == 0
    assert trainings.started == [("new", 0), ("new", 0)]
    assert len(list(Path("sweep").glob("si_mace_baseline_s0_*"))) == 2


def test_what_decides_no_number_makes_no_other_job(trainings, monkeypatch) -> None:
    assert train(monkeypatch, "seed=0") == 0
    others = ("measure_overhead=true", "callbacks.progress.style=none", "data.cache=false", "logger=tensorboard")
    assert train(monkeypatch, "seed=0", *others) == 0
    assert trainings.started == [("new", 0)]


def test_a_sweep_that_leaves_test_parts_closed_shows_validation_errors_and_never_trains_a_job_again(
    trainings, monkeypatch, capsys
) -> None:
    assert train(monkeypatch, "seed=0", "evaluate_test=false") == 0
    shown = capsys.readouterr().out
    assert "11.5 meV/atom" in shown
    assert "MAE on the validation set; the test part is closed (evaluate_test=false)" in " ".join(shown.split())
    assert train(monkeypatch, "seed=0,3") == 0
    assert [seed for _, seed in trainings.started] == [0, 3]
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("si_")}
    assert rows.popitem()[1][2:4] == ["test", "12.34"]
    assert rows.popitem()[1][2:4] == ["validation", "11.5"]


def test_a_sweep_of_an_earlier_version_finds_its_jobs_by_their_settings(trainings, monkeypatch) -> None:
    """Its folders end with another hash, and it did not have all settings of today."""
    assert train(monkeypatch, "seed=0,2") == 1
    for folder in Path("sweep").glob("si_*"):
        config = OmegaConf.load(folder / "config.yaml")
        del config.data.n_blocks
        OmegaConf.save(config, folder / "config.yaml")
        folder.rename(f"{folder}0")
    trainings.started.clear()
    assert train(monkeypatch, "seed=0,2") == 0
    assert trainings.started == [("resume", 2)]
    assert len(list(Path("sweep").glob("si_*"))) == 2
    (_, job) = sorted(json.loads(file.read_text())["directory"] for file in Path(os.environ[RECORDS]).glob("*.json"))
    assert job.endswith("0")


def test_a_run_that_was_given_other_settings_since_is_not_taken_for_the_job(trainings, monkeypatch, capsys) -> None:
    assert train(monkeypatch, "seed=0") == 0
    (folder,) = Path("sweep").glob("si_*")
    config = OmegaConf.load(folder / "config.yaml")
    config.optimizer.lr, config.trainer.max_epochs = 0.5, 99
    OmegaConf.save(config, folder / "config.yaml")
    assert train(monkeypatch, "seed=0") == 1
    assert "other settings by now: optimizer.lr (0.5, not 0.03), trainer.max_epochs (99, not 80)" in (
        capsys.readouterr().err
    )


def test_a_wrong_setting_fails_its_job_before_a_process_starts_and_leaves_no_folder(trainings, monkeypatch) -> None:
    assert train(monkeypatch, "optimizer.lr=0,0.01") == 1
    assert trainings.started == [("new", 0)]
    assert len(list(Path("sweep").glob("si_*"))) == 1


def test_a_multirun_names_its_directories_itself(trainings, monkeypatch, capsys) -> None:
    assert train(monkeypatch, "seed=0,1", "output_dir=here") == 2
    assert trainings.started == []
    assert not Path("sweep").exists()
    assert "its directory is hydra.sweep.dir" in capsys.readouterr().err


def test_a_job_that_ended_without_a_word_is_listed_as_cut_off(tmp_path: Path, capsys) -> None:
    records = tmp_path / "sweep" / ".jobs" / "launch"
    records.mkdir(parents=True)
    job = {"state": "running", "directory": str(tmp_path / "sweep" / "a"), "overrides": [], "minutes": 0.0}
    (records / "0.json").write_text(json.dumps(job))
    assert not print_sweep(records, ("train.py",))
    assert "1 cut off" in " ".join(capsys.readouterr().out.split())  # the title with the folder may be wrapped


def test_the_folder_of_a_job_ends_with_the_hash_of_its_configuration(trainings, monkeypatch) -> None:
    assert train(monkeypatch, "seed=3", "logger=csv,tensorboard") == 0
    (folder,) = Path("sweep").glob("si_*")  # the logger does not change a number, so both jobs are one
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        job = Job.read(plain_config(compose("train", ["measure_overhead=false", "seed=3"])))
    assert folder.name == f"si_mace_baseline_s3_{config_hash(job.config)[:8]}"


def test_a_job_without_a_number_of_threads_gets_all_cores_of_the_machine(trainings, monkeypatch) -> None:
    assert train(monkeypatch, "trainer.threads=null,1") == 0
    assert trainings.threads == [joblib.cpu_count(), 1]


@pytest.mark.parametrize(
    ("launcher", "devices", "threads"),
    [({}, 1, 8), ({}, 2, 4), ({"n_jobs": 2}, 1, 4), ({"n_jobs": 2}, 2, 2), ({"n_jobs": 8}, 2, 1),
     ({"cpus_per_task": None}, 1, 1), ({"cpus_per_task": 6}, 2, 6)],
)  # fmt: skip
def test_threads_are_divided_among_all_processes_at_a_time(monkeypatch, launcher, devices, threads) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert threads_per_process(launcher, devices) == threads


@pytest.mark.parametrize(
    ("asked", "threads", "devices", "jobs"),
    [(-1, 1, 1, 8), (-1, None, 1, 8), (20, 1, 1, 8), (3, 4, 1, 2), (3, 2, 1, 3), (-1, 1, 2, 4), (2, 99, 1, 1)],
)
def test_no_more_jobs_run_at_a_time_than_there_are_cores_for(monkeypatch, asked, threads, devices, jobs) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    monkeypatch.setenv(RECORDS, "")
    hydra = {"sweep": {"dir": "sweep"}, "launcher": {"n_jobs": asked}}
    hydra |= {"sweeper": {"n_trials": 3}, "overrides": {"task": []}}
    config = OmegaConf.create({"hydra": hydra, "trainer": {"threads": threads, "devices": devices}})
    OmegaConf.set_readonly(config.hydra, True)
    SweepStart().on_multirun_start(config)
    assert config.hydra.launcher.n_jobs == jobs


@pytest.mark.parametrize(
    ("sweeper", "arguments", "jobs"),
    [({}, ["head=pan,pgs", "seed=range(0,5)", "dtype=float64"], 10), ({"params": {"seed": "1,2,3"}}, ["head=pan"], 3),
     ({"n_trials": 20}, ["optimizer.lr=interval(0.1,1)"], 20)],
)  # fmt: skip
def test_the_number_of_jobs_is_known_before_they_run(sweeper, arguments, jobs: int) -> None:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        assert sweep_module._jobs(sweeper, arguments) == jobs


def test_slurm_is_asked_for_one_task_per_process(trainings, monkeypatch, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    for name in ("sbatch", "srun"):  # a cluster that takes no jobs
        (tmp_path / name).write_text(f"#!/bin/sh\ncp $1 {tmp_path}/submitted\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    distributed = ("trainer=ddp", "trainer.devices=4", "trainer.num_nodes=3", "hydra.launcher.gpus_per_node=4")
    assert train(monkeypatch, "hydra/launcher=slurm", *distributed, "seed=0,1") == 1
    lines = (tmp_path / "submitted").read_text().splitlines()
    for option in ("array=0-1%2", "nodes=3", "ntasks-per-node=4", "gpus-per-node=4", "time=1440"):
        assert f"#SBATCH --{option}" in lines
    assert "export SLURM_KILL_BAD_EXIT=1" in lines


def test_two_jobs_cannot_use_one_directory_at_a_time(tmp_path: Path) -> None:
    with (
        shared_directory(tmp_path / "run", resume=False),
        pytest.raises(ConfigError, match=rf"run is in use by process {os.getpid()} on .*; wait until that is done"),
        shared_directory(tmp_path / "run", resume=False),
    ):
        pass


def test_a_lock_that_was_removed_since_it_was_opened_is_no_lock(tmp_path: Path, monkeypatch) -> None:
    """The job before ends between the opening of the file and the lock: the next one must not lock another file."""
    flock, opened = fcntl.flock, []

    def flock_late(file, mode) -> None:
        opened.append(file)
        if len(opened) == 1:
            (tmp_path / ".lock").unlink()
        flock(file, mode)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with sole_use(tmp_path), pytest.raises(InUseError), sole_use(tmp_path):
        pass
    assert len(opened) == 3


def test_jobs_without_a_directory_of_their_own_in_one_second_get_two(tmp_path: Path) -> None:
    path = new_directory(tmp_path / "outputs" / "12-00-00")
    with shared_directory(path, resume=False, unnamed=True) as directory:
        assert directory.path == path.with_name("12-00-00_2")
        with pytest.raises(InUseError), sole_use(directory.path):
            pass


def test_a_second_sweep_leaves_a_job_in_use_to_the_first(trainings, monkeypatch, tmp_path: Path, capsys) -> None:
    assert train(monkeypatch, "seed=0") == 0
    (folder,) = Path("sweep").glob("si_*")
    shutil.rmtree(folder)
    with shared_directory(folder, resume=False):
        assert train(monkeypatch, "seed=0,3") == 1
    assert trainings.started == [("new", 0), ("new", 3)]
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 finished, 1 elsewhere" in shown
    assert f"is in use by process {os.getpid()} on" in shown


def test_a_job_that_a_second_sweep_has_finished_meanwhile_is_skipped(trainings, monkeypatch, capsys) -> None:
    def too_late(config_file: Path, *rest: object, **named: object) -> int:
        trainings(config_file, *rest, **named)
        return 2  # "holds a finished run"

    monkeypatch.setattr(sweep_module, "run_in_own_process", too_late)
    assert train(monkeypatch, "seed=0") == 0
    assert "sweep: 1 skipped" in capsys.readouterr().out


def test_a_killed_process_leaves_the_directory_free(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from types import SimpleNamespace
from time import sleep
from scalarpath.runs.lock import new_directory, sole_use
with sole_use(Path({str(tmp_path)!r})):
    print("locked", flush=True)
    sleep(100)
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(ConfigError, match=f"process {process.pid}"), sole_use(tmp_path):
            pass
        process.kill()
        process.wait()
    with sole_use(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_run_killed_in_its_first_epoch_is_begun_anew_with_the_same_wandb_run(tmp_path: Path) -> None:
    killed = RunDirectory.create(tmp_path / "run")
    killed.write_text("config.yaml", "seed: 0\n")
    killed.write_json("logger.json", {"wandb_id": "abc"})
    (killed.checkpoints / "last.ckpt.part").write_bytes(b"half")
    with shared_directory(killed.path, resume=False) as directory:
        assert directory.read_json("logger.json") == {"wandb_id": "abc"}
        assert not (directory.path / "config.yaml").exists()
        assert not list(directory.checkpoints.iterdir())


def test_a_job_prints_commands_in_the_form_in_which_the_sweep_was_called(monkeypatch, tmp_path: Path, capsys) -> None:
    class Process:
        def __init__(self, command: list[str], **_: object) -> None:
            monkeypatch.setattr(sys, "argv", ["/somewhere/scalarpath/cli.py", *command[3:]])
            cli._job_of_sweep(*command[3:])

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(cli.threading, "Thread", lambda **_: SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(cli, "_prepare", lambda: None)
    monkeypatch.setattr(cli, "_run", lambda cfg: print(next_command("evaluate", "run", cfg.output_dir)))
    monkeypatch.setattr(processes.subprocess, "Popen", Process)
    monkeypatch.setattr(sys, "argv", ["/checkout/train.py", "-m"])
    (tmp_path / "job.yaml").write_text("output_dir: r\n")
    processes.run_in_own_process(tmp_path / "job.yaml", tmp_path / "log", threads=1, quiet=False)
    assert capsys.readouterr().out == "python /checkout/evaluate.py run=r\n"
