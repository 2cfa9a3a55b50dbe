"""The spread of a committee against its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from composed_jobs import SMOKE, job, run
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from samples import CUTOFF, make_potential, quartz_like

from scalarpath.core.errors import CheckpointError, ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.deploy import Committee, CommitteeCalculator
from scalarpath.evaluation import calibration, command
from scalarpath.evaluation.calibration import errors_and_spreads
from scalarpath.evaluation.settings import EvaluationSettings
from scalarpath.graph import AtomicGraph, collate


def test_errors_are_those_of_the_mean_and_only_where_labels_are_complete():
    members = [make_potential("baseline", seed=seed) for seed in range(3)]
    atoms = quartz_like()
    calculator = CommitteeCalculator(members)
    energy, forces = calculator.get_property("energy", atoms), calculator.get_property("forces", atoms)
    labels = forces + 0.3
    labels[2, 1] = np.nan  # one component is missing
    known = np.arange(len(atoms)) != 2
    unlabelled = AtomicGraph.from_atoms(atoms, CUTOFF)
    labelled = AtomicGraph.from_atoms(atoms, CUTOFF, energy=energy - 0.7, forces=labels)
    found = errors_and_spreads(Committee(members), [collate([labelled, unlabelled]), collate([unlabelled])])
    errors, spreads = found["energy"]
    assert errors == pytest.approx([0.7 / len(atoms)])
    assert spreads == pytest.approx([calculator.get_property("energy_per_atom_std", atoms)])
    errors, spreads = found["forces"]
    assert errors == pytest.approx(np.full(known.sum(), 0.3 * 3**0.5))
    assert spreads == pytest.approx(calculator.get_property("forces_std", atoms)[known])


def test_a_committee_is_on_the_device_of_its_runs(monkeypatch, tmp_path: Path) -> None:
    run = SimpleNamespace(potential=SimpleNamespace(device="cuda:1"))

    def committee(members: list[object], *, device: str = "cpu") -> None:
        raise ConfigError(f"{len(members)} members on {device}")  # few machines have one

    monkeypatch.setattr(calibration, "Committee", committee)
    with pytest.raises(ConfigError, match="2 members on cuda:1"):
        calibration.calibrate(run, [run], [], tmp_path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder of short trainings: two seeds, and what is no member of their committee."""
    folder = tmp_path_factory.mktemp("runs")
    for name, override in (("s0", "seed=0"), ("s1", "seed=1"), ("longer", "backbone.cutoff=5.5")):
        run(job(*SMOKE, "trainer.max_epochs=1", override, f"output_dir={folder}/{name}"))
    summary = json.loads((folder / "s1/summary.json").read_text())
    splits = json.loads((folder / "s1/splits.json").read_text())
    splits["valid"][0] = splits["test"][0]
    untested = {key: value for key, value in summary.items() if not key.startswith("test/")}
    config = (folder / "s1/config.yaml").read_text().replace("evaluate_test: true", "evaluate_test: false")
    changed(folder, "other_data", {"summary.json": json.dumps(summary | {"hash/data": "another"})})
    changed(folder, "other_split", {"splits.json": json.dumps(splits)})
    changed(folder, "closed", {"summary.json": json.dumps(untested), "config.yaml": config})
    return folder


def changed(folder: Path, name: str, texts: dict[str, str]) -> None:
    """A copy of the second run with other files, and without their checksums."""
    copied = shutil.copytree(folder / "s1", folder / name)
    (copied / "status.json").unlink()
    for file, text in texts.items():
        (copied / file).write_text(text)


def evaluate(*overrides: str):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return command.run(EvaluationSettings.from_hydra(compose("evaluate", list(overrides))))


def test_a_committee_is_measured_on_the_test_frames(runs: Path, capsys) -> None:
    assert evaluate(f"run={runs}/s0", f"committee=[{runs}/s1]") == []
    assert "Does the spread tell the error?" in capsys.readouterr().out
    content = json.loads((runs / "s0/artifacts/calibration.json").read_text())
    assert (content["run"], content["committee"]) == ("s0", ["s1"])
    summary = json.loads((runs / "s0/summary.json").read_text())
    assert 3 * content["forces"]["labels"] == summary["test/forces_labels"]
    for name in ("energy", "forces"):
        assert content[name]["spread"] > 0
        assert content[name]["error_over_spread"] == pytest.approx(content[name]["error"] / content[name]["spread"])
        assert -1 <= content[name]["rank_correlation"] <= 1
    for kind in ("svg", "png"):
        assert (runs / f"s0/artifacts/calibration.{kind}").stat().st_size > 1000
    evaluate(f"run={runs}/s0", f"committee=[{runs}/s1]")  # its own files are replaced


def test_other_frames_are_measured_in_place_of_the_artifacts_of_bundled_data(runs: Path, tmp_path: Path) -> None:
    assert evaluate(f"run={runs}/s0", f"frames={CONF_DIR.parent}/data/si/frames.extxyz", f"output_dir={tmp_path}") == []
    assert (tmp_path / "artifacts/frames_frames.extxyz.json").is_file()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("s0", "s0 is run= itself"),
        ("other_split", "other_split has seen test frames of run="),
        ("other_data", "other_data was trained on other data"),
        ("longer", "longer has a longer cutoff than run="),
        ("closed", r"closed has a closed test part; open it first: python evaluate.py run=.*closed"),
    ],
)
def test_who_is_no_member_is_named(runs: Path, tmp_path: Path, other: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(f"run={runs}/s0", f"committee=[{runs}/{other}]", f"output_dir={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_nothing_else_is_measured_with_a_committee(runs: Path, tmp_path: Path) -> None:
    for more, message in (("frames=a.xyz", "leave frames= out"), ("material=si", "no artifacts; leave material= out")):
        with pytest.raises(ConfigError, match=message):
            evaluate(f"run={runs}/s0", f"committee=[{runs}/s1]", more)
    with pytest.raises(ConfigError, match="belong to run="):
        evaluate("calculator=ase.calculators.emt:EMT", "material=ag", f"committee=[{runs}/s1]")
    with pytest.raises(CheckpointError, match=f"^{runs}/nothing: there is no run"):  # not "run=...", which it is not
        evaluate(f"run={runs}/s0", f"committee=[{runs}/nothing]")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/calibration.json").write_text("{}")
    with pytest.raises(ConfigError, match="was not written by this program"):
        evaluate(f"run={runs}/s0", f"committee=[{runs}/s1]", f"output_dir={tmp_path}")
