"""Comparison with upstream packages in their own environments: protocol, refusals, what is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.core.errors import ConfigError, DataError, UpstreamError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost.peers import suite
from scalarpath.cost.peers.cases import MODES, Case, arrays, cases, hyperparameters
from scalarpath.cost.peers.comparison import compare_case
from scalarpath.cost.peers.environments import Environment, environments
from scalarpath.cost.peers.figure import write_figure
from scalarpath.cost.peers.models import MODELS
from scalarpath.cost.peers.results import COLUMNS, read_results, source_hash, write_markdown, write_results
from scalarpath.cost.peers.workers.step_server import Steps
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.cost.structures import aspirin, structures

ROOT = Path(__file__).parents[2]

# a worker that says what it is told to: predictions scaled by SCALE, steps of SECONDS, a log of all requests
FAKE = """
import json, os, sys
import numpy as np
replies = os.fdopen(int(sys.argv[1]), "w")
print("a package prints what it likes")
for line in sys.stdin:
    request = json.loads(line)
    command, reply = request["command"], {}
    with open(LOG, "a") as log:
        log.write(f"{NAME} {command}\\n")
    if command == DIES_AT:
        raise ValueError("this model cannot be built")
    if command == "build":
        reply["edges"] = EDGES
        threads = [os.environ["OMP_NUM_THREADS"], str(request["threads"])]
        assert threads == ["2", "2"], threads
    elif command == "predict":
        np.savez(request["output"], energy=np.full(1, 2.0 * float(SCALE)), forces=np.full((64, 3), -1.0))
    elif command == "memory":
        reply["memory"] = {"before_MB": 100.0, "peak_MB": 100.0 + 30 * SECONDS}
    else:
        reply["seconds"] = SECONDS * (3 if command == "train" else 1)
    replies.write(json.dumps(reply) + "\\n")
    replies.flush()
"""
CASE = Case("mace_64_L0", "si64", "float64", 2)
DEFAULTS = {"SCALE": 1.0, "SECONDS": 1.0, "EDGES": 10, "DIES_AT": None}


def fake(folder: Path, name: str, **values: object) -> Path:
    given = {**DEFAULTS, "NAME": name, "LOG": str(folder / "log"), **values}
    script = folder / f"{name}.py"
    script.write_text("\n".join(f"{key} = {value!r}" for key, value in given.items()) + FAKE)
    return script


def compare_fakes(folder: Path, peer: dict, own: dict | None = None, rounds: int = 3, case: Case = CASE) -> dict:
    scripts = fake(folder, "peer", **peer), fake(folder, "own", **(own or {}))
    return compare_case(case, structures("si64"), sys.executable, rounds, scripts=scripts)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("fakes")
    measured = compare_fakes(folder, {"SECONDS": 2.0, "SCALE": 1.0 + 1e-12})
    return {**measured, "log": (folder / "log").read_text().splitlines()}


def test_ratios_are_peer_over_scalarpath(result):
    assert result["train"]["ratio"] == result["inference"]["ratio"] == 2.0
    assert (result["train"]["peer_step_s"], result["train"]["scalarpath_step_s"]) == (6.0, 3.0)
    assert result["memory"]["ratio"] == 2.0  # of what the step adds, 60 and 30 MB
    assert result["memory"]["peer_peak_MB"] == 160.0
    assert result["difference"] == {"energy": pytest.approx(1e-12, rel=1e-3), "forces": 0.0}


def test_a_mode_without_training_times_the_inference_alone(tmp_path):
    measured = compare_fakes(tmp_path, {"SECONDS": 3.0}, case=replace(CASE, model="nequip_S", mode="aotinductor"))
    assert measured["inference"]["ratio"] == 3.0
    assert measured["train"] is measured["memory"] is None
    log = (tmp_path / "log").read_text()
    assert "train" not in log
    assert "memory" not in log


def test_rounds_are_interleaved_in_turning_order_after_warm_up(result):
    steps = [line.split() for line in result["log"] if line.endswith("train")]
    assert len(steps) == 2 * (2 + 3)  # of both workers, two rounds of warm-up and three that count
    order = [name for name, _ in steps]
    assert order == ["own", "peer", "peer", "own"] * 2 + ["own", "peer"]


@pytest.mark.parametrize(("threads", "waits_count"), [(1, False), (2, True)])
def test_the_second_step_of_a_turn_is_timed_and_with_one_thread_only_what_the_processor_worked(
    monkeypatch, threads, waits_count
):
    class Model:
        edges, device, seconds = 0, torch.device("cpu"), [0.3, 0.1]

        def module(self, kind):
            return torch.nn.Linear(1, 1)

        def predict(self, kind):
            time.sleep(self.seconds.pop(0))

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert (0.1 <= Steps(Model()).run("inference") < 0.3) is waits_count
    assert not Model.seconds


def test_the_peer_is_built_first_because_it_writes_the_weights_and_memory_is_measured_in_fresh_processes(result):
    log = result["log"]
    assert log[:4] == ["peer build", "own build", "peer predict", "own predict"]
    assert log[-4:] == ["peer build", "peer memory", "own build", "own memory"]


@pytest.mark.parametrize(
    ("peer", "complaint"),
    [
        ({"SCALE": 1.0 + 1e-6}, r"energy of mace and scalarpath differ by 1.0e-06 .* nothing was timed"),
        ({"SCALE": "nan"}, "energy of mace and scalarpath differ by nan"),
        ({"EDGES": 12}, r"neighbour lists differ: .*12.*10"),
        ({"DIES_AT": "build"}, "worker of mace ended at 'build': ValueError: this model cannot be built"),
    ],
)
def test_nothing_is_timed_when_the_two_are_not_the_same_model(tmp_path, peer, complaint):
    with pytest.raises(UpstreamError, match=complaint):
        compare_fakes(tmp_path, peer)
    assert "train" not in (tmp_path / "log").read_text()


def test_a_python_that_is_none_and_one_without_the_package_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"peers.mace = /no/python is no executable file"):
        environments({"mace": "/no/python", "nequip": None})
    with pytest.raises(ConfigError, match=r"has no mace-torch; install it there: .* -m pip install mace-torch"):
        environments({"mace": sys.executable, "nequip": None})
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho cannot start >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ConfigError, match=r"is no working python \(cannot start\)"):
        environments({"mace": None, "nequip": str(broken)})


def test_a_peer_that_is_not_given_is_left_out_with_a_line(tmp_path):
    python = tmp_path / "python"
    python.write_text("""#!/bin/sh\necho '{"mace-torch": "0.3.16", "torch": "2.8"}'\n""")
    python.chmod(0o755)
    found, lines = environments({"mace": str(python), "nequip": None})
    assert found == {"mace": Environment(str(python), {"mace-torch": "0.3.16", "torch": "2.8"})}
    assert lines == [
        "nequip is left out: peers.nequip is not given.",
        "allegro is left out: peers.nequip is not given.",
    ]


def test_cases_are_all_combinations_and_compiled_ones_only_of_peers_that_compile():
    chosen = cases(["mace_64_L0", "nequip_S"], ["si64"], ["float32", "float64"], [1, 2], MODES)
    assert len(chosen) == 2 * 8 + 2 * 4
    assert {case.model for case in chosen if case.mode in ("compiled", "aotinductor")} == {"nequip_S"}
    assert {case.model for case in chosen if case.mode == "both_compiled"} == {"mace_64_L0", "nequip_S"}
    both = [case for case in chosen if case.mode == "both_compiled"]
    assert {case.kind: case.peer_mode for case in both} == {"mace": "eager", "nequip": "compiled"}


@pytest.mark.parametrize("model", MODELS)
def test_hyperparameters_name_the_elements_in_ascending_order_and_the_mean_degree(model):
    given = hyperparameters(Case(model, "aspirin2", "float32", 1), structures("aspirin2"))
    names = given.get("type_names") or given["atomic_numbers"]
    assert names in (["H", "C", "O"], [1, 6, 8])
    assert 5 < given["avg_num_neighbors"] < 20


def test_bonds_of_aspirin_are_those_of_the_molecule():
    molecule = aspirin()
    assert molecule.get_chemical_formula() == "C9H8O4"
    distances = molecule.get_all_distances()
    bonds = np.argwhere(np.triu(distances < 1.6, k=1))
    assert len(bonds) == 21  # 20 for a tree of 21 atoms, and one for the ring
    for i, j in bonds:
        elements = "".join(sorted(molecule.symbols[[i, j]]))
        low, high = {"CC": (1.38, 1.52), "CO": (1.20, 1.42), "CH": (1.07, 1.11), "HO": (0.95, 1.0)}[elements]
        assert low < distances[i, j] < high, (elements, distances[i, j])


def test_structures_of_one_name_are_the_same_each_time_and_frames_differ():
    first, second = structures("si64x2")
    assert np.array_equal(first.positions, structures("si64")[0].positions)
    assert not np.array_equal(first.positions, second.positions)
    assert len(structures("aspirin10")) == 10
    with pytest.raises(ConfigError, match="structure must be si8, si64"):
        structures("si65")
    slab = structures("si64")[0]
    slab.pbc = (True, True, False)
    with pytest.raises(ConfigError, match="periodic in three directions, or in none"):
        arrays([slab])


def example(result: dict, **case: object) -> dict:
    measured = {key: value for key, value in result.items() if key != "log"}
    identity = {"sources": "0" * 12, **case}
    return {"case": {"model": "m", "structure": "s", "dtype": "float64", "threads": 1, "mode": "eager", **case},
            "identity": identity, **measured}  # fmt: skip


def test_table_and_figure_show_every_result_and_a_dash_for_memory_not_measured(tmp_path, result):
    results = [
        example(result),
        {**example(result, threads=2), "memory": None},
        {**example(result, mode="aotinductor"), "train": None, "memory": None},
    ]
    write_markdown(tmp_path / "peers.md", results)
    lines = (tmp_path / "peers.md").read_text().splitlines()[2:]
    assert lines[0] == "| " + " | ".join(COLUMNS) + " |"
    assert lines[2] == "| m | s | float64 | 1 | eager | 2.00 [2.00, 2.00] | 2.00 [2.00, 2.00] | 2.00 |"
    assert lines[3].endswith("| – |")
    assert lines[4].endswith("| – | 2.00 [2.00, 2.00] | – |")
    write_figure(tmp_path / "peers.svg", results)
    svg = (tmp_path / "peers.svg").read_text()
    assert "<svg" in svg
    assert "float64, 2 threads" in svg


def test_results_can_be_read_back_and_another_file_is_refused(tmp_path, result):
    path = tmp_path / "peers.json"
    assert read_results(path) == []
    write_results(path, [example(result)], {})
    assert read_results(path) == [example(result)]
    path.write_text('{"arms": {}}')
    with pytest.raises(DataError, match="holds no results of suite=peers"):
        read_results(path)


def test_the_hash_of_the_sources_sees_content_and_names(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    first = source_hash(tmp_path)
    (tmp_path / "a.py").write_text("x = 2\n")
    second = source_hash(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    third = source_hash(tmp_path)
    (tmp_path / "kernel.cpp").write_text("int x;\n")
    assert len({first, second, third, source_hash(tmp_path)}) == 4


def settings(folder: Path, **values: object) -> BenchmarkSettings:
    given = {
        "threads": 1, "rounds": 2, "cases": "mace_64_L0", "structures": ["si64", "ag108"], "dtypes": "float32",
        "output": str(folder / "peers.json"), "peers.mace": "p", **values,
    }  # fmt: skip
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        overrides = [f"{key}={json.dumps(value)}" for key, value in given.items()]
        return BenchmarkSettings.from_hydra(compose("benchmark", ["suite=peers", *overrides]))


@pytest.fixture
def measured(monkeypatch, result) -> list[Case]:
    """Cases that the suite has measured, with a comparison that only says so; 'ag108' cannot be compared."""
    done: list[Case] = []

    def compare(case: Case, *_: object) -> dict:
        done.append(case)
        if case.structure == "ag108":
            raise UpstreamError("not the same model.")
        return {key: value for key, value in result.items() if key != "log"}

    monkeypatch.setattr(suite, "compare_case", compare)
    found = {"mace": Environment("p", {"mace-torch": "0.3.16"}), "nequip": Environment("q", {})}
    monkeypatch.setattr(suite, "environments", lambda pythons: (found, []))
    return done


def test_a_case_that_fails_does_not_stop_the_others_and_is_the_error_at_the_end(tmp_path, measured):
    with pytest.raises(UpstreamError, match=r"1 of 2 cases failed; the first, mace_64_L0 ag108 .*: not the same model"):
        suite.run(settings(tmp_path, structures=["ag108", "si64"]))
    content = json.loads((tmp_path / "peers.json").read_text())
    assert [entry["case"]["structure"] for entry in content["results"]] == ["si64"]
    assert list(content["failed"]) == ["mace_64_L0 ag108 float32 x1 eager"]
    assert (tmp_path / "peers.svg").is_file()


def test_resuming_measures_only_what_is_new_and_keeps_the_rest(tmp_path, measured):
    suite.run(settings(tmp_path, structures="si64"))
    suite.run(settings(tmp_path, structures="si64", threads=[1, 2], resume=True))
    assert [case.threads for case in measured] == [1, 2]
    suite.run(settings(tmp_path, structures="si64", rounds=3, resume=True))  # other rounds are another measurement
    assert [case.threads for case in measured] == [1, 2, 1]
    assert {entry["case"]["threads"] for entry in read_results(tmp_path / "peers.json")} == {1, 2}
    suite.run(settings(tmp_path, structures="si64"))
    assert len(read_results(tmp_path / "peers.json")) == 1


def test_compiled_cases_of_one_frame_are_left_out_with_a_line(tmp_path, measured, capsys):
    suite.run(settings(tmp_path, cases="nequip_S", structures=["si64", "si64x2"], modes=list(MODES)))
    assert [(case.structure, case.mode) for case in measured] == [
        ("si64", "eager"), ("si64x2", "eager"), ("si64x2", "compiled"), ("si64x2", "both_compiled"),
        ("si64", "aotinductor"), ("si64x2", "aotinductor"),
    ]  # fmt: skip
    assert "one frame runs eagerly; use si64x2" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("peer", "model"), [("mace", "mace_64_L0"), ("nequip", "nequip_S"), ("nequip", "allegro_64_32_l2")]
)
def test_a_real_peer_agrees_and_is_timed(tmp_path, peer, model):
    python = os.environ.get(f"SCALARPATH_PEER_{peer.upper()}")
    if python is None:
        pytest.skip(f"SCALARPATH_PEER_{peer.upper()} names no python with the package")
    command = [
        sys.executable, str(ROOT / "benchmark.py"), "suite=peers", f"peers.{peer}={python}", f"cases=[{model}]",
        "structures=[aspirin1]", "dtypes=[float64]", "rounds=2", f"output={tmp_path / 'peers.json'}",
    ]  # fmt: skip
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True, timeout=300)
    (measured,) = read_results(tmp_path / "peers.json")
    assert max(measured["difference"].values()) < 1e-11
    assert measured["train"]["peer_step_s"] > 0.0
    assert measured["memory"]["scalarpath_peak_MB"] > measured["memory"]["scalarpath_before_MB"]
