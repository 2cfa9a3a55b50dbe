"""Time to accuracy: logs of the programs, the clock, what the results say, what is written and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.core.errors import ConfigError, DataError, UpstreamError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost.accuracy import mace, nequip, own, suite
from scalarpath.cost.accuracy.clock import watched
from scalarpath.cost.accuracy.frames import Parts, mean_errors, write_parts
from scalarpath.cost.accuracy.ratios import start_up, statements
from scalarpath.cost.accuracy.results import arm_rows, ratio_rows, read_results
from scalarpath.cost.accuracy.task import OWN, Arm, Task
from scalarpath.cost.peers.environments import Environment
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.data.config import DataConfig

ROOT = Path(__file__).parents[2]
FORCES, ENERGY, STRESS = "forces_mae_meV_A", "energy_mae_meV_atom", "stress_mae_meV_A3"

# lines of mace-torch 0.3.16
MACE_EVAL = '{{"loss": 1.5, "mae_e": 2.3, "mae_e_per_atom": {e}, "mae_f": {f}, "mae_stress": 0.007, "mode": "eval", "epoch": {epoch}, "head": "Default"}}\n'  # noqa: E501
MACE_STEP = '{"loss": 2.24, "time": 0.8, "mode": "opt", "epoch": 0}\n'
# columns of nequip 0.19.1 that are read, and one that is not
NEQUIP_LOG = """epoch,step,test0_epoch/forces_mae,test0_epoch/per_atom_energy_mae,test0_epoch/stress_mae,\
train_loss_step/forces_mse,val0_epoch/forces_mae,val0_epoch/per_atom_energy_mae,val0_epoch/stress_mae,\
val0_epoch/weighted_sum
0,17,,,,1.3,,,,
0,18,,,,,0.738,0.32,0.053,1.58
1,37,,,,,0.5,0.2,0.05,1.0
2,38,,,,,0.25,0.1,0.04,0.9
2,38,0.777,0.283,0.064,,,,,
"""


def task(folder: Path, program: str = "mace_run_train", recipe: str = "stage_two", **changes: object) -> Task:
    backbone = "mace" if program != "nequip-train" else str(changes.pop("backbone", "nequip"))
    arm = Arm(backbone, program, recipe, 2, 3)
    files = {part: folder / f"{part}.xyz" for part in ("train", "valid", "test")}
    parts = Parts(files, {"train": 91, "valid": 11, "test": 34}, ("energy", "forces", "stress"), ("Si",), "hash")
    options = yaml.safe_load((CONF_DIR / "backbone" / f"{backbone}.yaml").read_text())
    weights = {"energy": 10.0, "forces": 10.0, "stress": 100.0}
    made = Task(arm, folder, parts, "PYTHON", options, 5, "float32", weights, "least_squares")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_log_of_mace_gives_epochs_with_steps_and_errors_in_our_units(tmp_path):
    log = MACE_EVAL.format(epoch="null", e=1, f=9) + 2 * MACE_STEP + MACE_EVAL.format(epoch=0, e=0.225, f=0.293)
    log += 2 * MACE_STEP + MACE_EVAL.format(epoch=1, e=0.1, f=0.2)[:-40]  # the last line is being written
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mace_run-3_train.txt").write_text(log)
    (epoch,) = mace.epochs(task(tmp_path))
    assert epoch == {"epoch": 1, "steps": 2, ENERGY: 225.0, FORCES: 293.0, STRESS: 7.0}


def test_the_log_of_nequip_gives_epochs_and_the_final_errors_of_its_best_checkpoint(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "metrics.csv").write_text(NEQUIP_LOG)
    found = task(tmp_path, "nequip-train", "tutorial")
    assert [(row["epoch"], row["steps"], row[FORCES]) for row in nequip.epochs(found)] == [(1, 19, 738), (2, 38, 500)]
    assert nequip.final(found) == {
        "valid": {FORCES: 250.0, ENERGY: 100.0, STRESS: 40.0},
        "test": {FORCES: 777.0, ENERGY: 283.0, STRESS: 64.0},
    }


def test_our_own_run_gives_epochs_and_the_errors_of_its_best_epoch(tmp_path):
    (tmp_path / "run").mkdir()
    columns = f"epoch,lr,val/{FORCES},val/{ENERGY},val/{STRESS}\n"
    (tmp_path / "run" / "metrics.csv").write_text(f"{columns}1,0.1,300.0,20.0,5.0\n2,0.1,310.0,21.0,5.1\n")
    summary = {"best_epoch": 1, **{f"test/{name}": 7.0 for name in (FORCES, ENERGY, STRESS)}}
    (tmp_path / "run" / "summary.json").write_text(json.dumps(summary))
    found = task(tmp_path, OWN, "default")
    assert [(row["epoch"], row["steps"], row[FORCES]) for row in own.epochs(found)] == [(1, 19, 300), (2, 38, 310)]
    assert own.final(found)["valid"] == {FORCES: 300.0, ENERGY: 20.0, STRESS: 5.0}
    assert own.final(found)["test"][FORCES] == 7.0


def test_no_log_is_no_epoch(tmp_path):
    for program, module in suite.MODULES.items():
        assert module.epochs(task(tmp_path, program)) == []


def test_commands_carry_the_architecture_the_loss_and_the_recipe(tmp_path):
    command = mace.command(task(tmp_path, recipe="ema"))
    wanted = {
        "--num_channels=32", "--max_L=1", "--correlation=3", "--interaction_first=RealAgnosticInteractionBlock",
        "--radial_MLP=[64, 64, 64]", "--forces_weight=10.0", "--swa_stress_weight=100.0", "--start_swa=2",
        "--max_num_epochs=2", "--seed=3", "--batch_size=5", "--ema", "--swa",
    }  # fmt: skip
    assert wanted <= set(command)
    assert "--ema" not in mace.command(task(tmp_path))
    nequip.command(task(tmp_path, "nequip-train", "tutorial", backbone="allegro"))
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())
    model = written["training_module"]["model"]
    assert model["radial_chemical_embed"]["num_bessels"] == 8
    assert (model["num_tensor_features"], model["_target_"]) == (8, "allegro.model.AllegroModel")
    assert written["training_module"]["loss"]["coeffs"] == {"total_energy": 10.0, "forces": 10.0, "stress": 100.0}
    ours = own.command(task(tmp_path, OWN, "optimizer=soap optimizer.lr=0.1", e0s={"Si": -1.5}))
    assert {
        "optimizer=soap",
        "optimizer.lr=0.1",
        "data.e0s={Si: -1.5}",
        "trainer.max_epochs=2",
        "seed=3",
        "data.cache=false",
    } <= set(ours)


def test_cutoffs_of_pairs_are_refused(tmp_path):
    options = {**task(tmp_path).options, "pair_cutoffs": {"Si": 4.0}}
    for program in ("mace_run_train", "nequip-train"):
        with pytest.raises(ConfigError, match=r"backbone.pair_cutoffs: .* set it to null"):
            suite.MODULES[program].command(task(tmp_path, program, options=options))


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Parts:
    return write_parts(DataConfig.read(_config("data=si")["data"]), 5.0, tmp_path_factory.mktemp("parts"))


def test_files_hold_the_frames_of_a_training_with_all_labels(parts):
    assert parts.sizes == {"train": 91, "valid": 11, "test": 34}  # as python train.py data=si splits
    assert (parts.quantities, parts.symbols) == (("energy", "forces", "stress"), ("Si",))
    frames = ase.io.read(parts.files["valid"], index=":")
    labels = [
        {"energy": a.info["REF_energy"], "forces": a.arrays["REF_forces"], "stress": a.info["REF_stress"]}
        for a in frames
    ]
    assert mean_errors(parts.files["valid"], labels, parts.quantities) == {ENERGY: 0.0, FORCES: 0.0, STRESS: 0.0}
    wrong = [{**label, "energy": label["energy"] + 0.1 * len(a)} for a, label in zip(frames, labels, strict=True)]
    assert mean_errors(parts.files["valid"], wrong, ["energy"])[ENERGY] == pytest.approx(100.0)
    moved = [{**label, "forces": np.asarray(label["forces"]) - 0.5} for label in labels]
    assert mean_errors(parts.files["valid"], moved, ["forces"])[FORCES] == pytest.approx(500.0)


def test_a_frame_without_forces_is_refused(tmp_path):
    frames = ase.io.read(ROOT / "data" / "si" / "frames.extxyz", index="0:12")
    frames[3].calc.results.pop("forces")
    ase.io.write(tmp_path / "frames.extxyz", frames)
    config = DataConfig.read({"path": str(tmp_path / "frames.extxyz"), "on_suspicious": "warn"})
    with pytest.raises(DataError, match=r"frames.extxyz.*frame 3.*no complete label of forces, which suite=accuracy"):
        write_parts(config, 5.0, tmp_path / "parts")


FAKE = """
import sys, time
for epoch in range(3):
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
    time.sleep(0.25)
    with open("log", "a") as log:
        log.write("epoch\\n")
if sys.argv[1:]:
    raise ValueError("out of luck")
"""


TICK = 0.02  # the system tells times of processes, of the program and of the kernel for it, in whole hundredths


def test_the_clock_tells_wall_and_processor_time_of_every_epoch(tmp_path):
    def epochs() -> int:
        return len((tmp_path / "log").read_text().splitlines()) if (tmp_path / "log").exists() else 0

    found = watched("fake", [sys.executable, "-S", "-c", FAKE], tmp_path, tmp_path / "out", epochs)
    assert len(found.epochs) == 3
    wall, cpu = ([getattr(times, name) for times in found.epochs] for name in ("wall_s", "cpu_s"))
    for k in range(3):
        assert wall[k] > (k + 1) * (0.15 + 0.25)
        assert cpu[k] > (k + 1) * 0.15 - TICK
    assert wall == sorted(wall)
    assert cpu == sorted(cpu)
    assert wall[0] < found.total.wall_s - 0.4
    assert cpu[0] < found.total.cpu_s - 0.15
    assert cpu[2] <= found.total.cpu_s + TICK
    assert 0.45 < found.total.cpu_s < found.total.wall_s - 0.5


def test_an_epoch_that_ends_while_the_log_is_read_has_a_time_that_is_late_and_not_early(tmp_path):
    def epochs() -> int:
        end = time.perf_counter() + 10
        while not (tmp_path / "log").exists() and time.perf_counter() < end:
            time.sleep(0.01)
        return 1

    found = watched("fake", [sys.executable, "-S", "-c", FAKE], tmp_path, tmp_path / "out", epochs)
    assert found.epochs[0].wall_s > 0.15 + 0.25


def test_a_command_that_fails_is_one_sentence_with_its_last_line(tmp_path):
    with pytest.raises(UpstreamError, match=r"fake ended with status 1 \(ValueError: out of luck\); see .*out"):
        watched("fake", [sys.executable, "-S", "-c", FAKE, "fail"], tmp_path, tmp_path / "out", lambda: 0)


def result(program: str, recipe: str, epochs: int, forces: list[float], second: float, seed: int = 0) -> dict:
    """Epochs of ``second`` seconds after a start of two seconds; the test error is the validation's and a tenth."""
    errors = {FORCES: min(forces), ENERGY: min(forces) ** 2 / 400, STRESS: 1.0}
    curve = [
        {"epoch": k, "steps": 19 * k, FORCES: value, ENERGY: value**2 / 400, STRESS: 1.0,
         "wall_s": 4 + 2 * k * second, "cpu_s": 2 + k * second}
        for k, value in enumerate(forces, 1)
    ]  # fmt: skip
    total = curve[-1]["cpu_s"] + 1
    return {
        "arm": {"backbone": "mace", "program": program, "recipe": recipe, "epochs": epochs, "seed": seed},
        "kind": "mace", "identity": {}, "wall_s": 2 * total, "cpu_s": total, "steps": 19 * epochs, "curve": curve,
        "errors": {"valid": errors, "test": {key: 1.1 * value for key, value in errors.items()}},
    }  # fmt: skip


SAMPLES = [
    result("mace_run_train", "stage_two", 4, [400, 200, 110, 100], 25.0),
    result("mace_run_train", "stage_two", 4, [400, 200, 120, 80], 25.0, seed=1),
    result(OWN, "default", 4, [300, 150, 80, 60], 2.0),
    result(OWN, "default", 2, [200, 85], 1.5),
    result(OWN, "default", 40, [*range(250, 55, -5), 45], 2.5),
    result(OWN, "default", 400, [*[150.0] * 100, *[40.0] * 300], 2.5),
    result(OWN, "slow", 4, [300, 250, 200, 180], 2.0),
]


def test_ratios_are_of_processor_time_and_of_test_errors():
    default, slow = statements(SAMPLES)
    assert default["reached_s"] == 5.0  # 85 is below the mean of 100 and 80, in the second epoch of the run of two
    assert (default["reached_epoch"], default["of_epochs"]) == (2, 2)
    assert default["time_ratio"] == pytest.approx(102 / 5)
    assert default["time_ratio_training"] == pytest.approx(100 / 3)
    assert default["equal_epochs"]["forces"] == pytest.approx(60 / 90)
    assert default["equal_time"]["epochs"] == 40  # 102 s, as the peer; 400 epochs take longer
    assert default["equal_time"]["forces"] == pytest.approx(45 / 90)
    assert slow["time_ratio"] is None
    assert slow["equal_epochs"]["energy"] == pytest.approx(81 / 20.5)
    assert start_up(SAMPLES[0]["curve"]) == pytest.approx(2.0)


def test_tables_show_the_mean_and_the_spread_over_seeds():
    peer = arm_rows(SAMPLES)[1]
    assert peer[:6] == ["mace", "mace_run_train", "stage_two", "4", "2", "103"]
    assert peer[6:8] == ["90 [80, 100]", "99 [88, 110]"]
    default, slow = ratio_rows(SAMPLES)
    assert default[3:] == [
        "20.4 [33.3] (30)",
        "epoch 2.0 of 2, 5 s",
        "0.50, 0.25, 1.00 (40 epochs)",
        "0.67, 0.44, 1.00",
    ]
    assert slow[3] == "not reached"


def _config(*overrides: str) -> dict:
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return OmegaConf.to_container(compose("train", list(overrides)), resolve=False)  # type: ignore[return-value]


def settings(folder: Path, *overrides: str) -> BenchmarkSettings:
    GlobalHydra.instance().clear()
    initialize_config_dir(str(CONF_DIR), version_base="1.3")
    given = ["suite=accuracy", "peers.mace=p", f"output={folder / 'a.json'}", "accuracy.backbones=[mace]"]
    return BenchmarkSettings.from_hydra(compose("benchmark", [*given, "accuracy.epochs=4", *overrides]))


@pytest.fixture
def trained(monkeypatch, parts) -> list[Arm]:
    """Arms that the suite has trained, with a training that only says so; the recipe ``ema`` fails."""
    done: list[Arm] = []

    def train(task: Task) -> dict:
        done.append(task.arm)
        if task.arm.recipe == "ema":
            raise UpstreamError("out of luck.")
        sample = result(task.arm.program, task.arm.recipe, task.arm.epochs, [2.0, 1.0], 3.0)
        return {key: sample[key] for key in ("wall_s", "cpu_s", "steps", "curve", "errors")}

    found = {"mace": Environment("p", {"mace-torch": "0.3.16"})}
    monkeypatch.setattr(suite, "_train", train)
    monkeypatch.setattr(suite, "write_parts", lambda *_: parts)
    monkeypatch.setattr(suite, "environments", lambda *_: (found, ["nequip is left out."]))
    yield done
    GlobalHydra.instance().clear()


def test_a_training_that_fails_does_not_stop_the_others_and_resuming_runs_what_is_missing(tmp_path, trained):
    with pytest.raises(UpstreamError, match=r"1 of 4 trainings failed; the first, mace mace_run_train ema.*luck"):
        suite.run(settings(tmp_path, "accuracy.budgets=[0.5,1]"))
    assert len(trained) == 4
    assert (tmp_path / "a.svg").is_file()
    assert "| mace | mace_run_train stage_two | default |" in (tmp_path / "a.md").read_text()
    suite.run(settings(tmp_path, "accuracy.budgets=[1]", "accuracy.recipes=[stage_two]", "resume=true"))
    assert len(trained) == 4  # the result of the other budget stays too
    assert len(read_results(tmp_path / "a.json")) == 3
    suite.run(
        settings(
            tmp_path, "accuracy.budgets=[1]", "accuracy.recipes=[stage_two]", "accuracy.seeds=[0,1]", "resume=true"
        )
    )
    assert [arm.seed for arm in trained[4:]] == [1, 1]


def test_another_file_is_not_taken_for_results(tmp_path):
    (tmp_path / "a.json").write_text('{"suite": "peers", "format": 1, "results": []}')
    with pytest.raises(DataError, match="holds no results of suite=accuracy"):
        read_results(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("accuracy.recipes=[emma]", "accuracy.recipes: 'emma' is unknown"),
        ("accuracy.seeds=[]", "accuracy.seeds must each name at least one"),
        ("accuracy.own=[3]", "accuracy.own must be text, not 3"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path, trained, override, message):
    with pytest.raises(ConfigError, match=message):
        suite.run(settings(tmp_path, override))
    assert not trained


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "backbone"), [("mace", "mace"), ("nequip", "nequip"), ("nequip", "allegro")])
def test_real_trainings_are_compared(tmp_path, peer, backbone):
    python = os.environ.get(f"SCALARPATH_PEER_{peer.upper()}")
    if python is None:
        pytest.skip(f"SCALARPATH_PEER_{peer.upper()} names no python with the package")
    command = [
        sys.executable, str(ROOT / "benchmark.py"), "suite=accuracy", f"peers.{peer}={python}", "accuracy.epochs=2",
        f"accuracy.backbones=[{backbone}]", "accuracy.budgets=[1]", f"output={tmp_path / 'a.json'}",
    ]  # fmt: skip
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True, timeout=900)
    results = read_results(tmp_path / "a.json")
    assert len(results) == (3 if peer == "mace" else 2)
    for found in results:
        assert [row["epoch"] for row in found["curve"]] == [1, 2]
        assert 0 < found["curve"][-1]["cpu_s"] <= found["cpu_s"]
        assert all(np.isfinite(value) for part in found["errors"].values() for value in part.values())
        # the peer's own validation error, and that of its final model on the same frames
        near = min(row[FORCES] for row in found["curve"])
        assert found["errors"]["valid"][FORCES] == pytest.approx(near, rel=0.5)
