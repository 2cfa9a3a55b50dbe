"""evaluate.py as a user meets it, and artifacts at the end of a training."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from composed_jobs import run
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.artifacts.bench import BENCHES
from scalarpath.artifacts.registry import MEASURES
from scalarpath.core.errors import ArtifactError, CheckpointError, ConfigError, DataError, TrustError
from scalarpath.core.resources import CONF_DIR
from scalarpath.evaluation import command
from scalarpath.evaluation.settings import EvaluationSettings

ROOT = Path(__file__).parents[2]
TRAIN = ("experiment=smoke", "data=ag", "callbacks.progress.style=none", "measure_overhead=false")
EMT = ("calculator=ase.calculators.emt:EMT", "size=smoke")


def composed(name: str, *overrides: str, whole: bool = False):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose(name, list(overrides), return_hydra_config=whole)


def evaluate(*overrides: str):
    return command.run(EvaluationSettings.from_hydra(composed("evaluate", *overrides)))


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A short training that measures phonons at the end."""
    path = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "MEASURES", ("phonons",))
        run(composed("train", *TRAIN, "artifacts=smoke", f"output_dir={path}"))
    return path


def test_a_training_with_artifacts_has_them_in_its_directory_and_its_summary(finished: Path) -> None:
    summary = read(finished / "summary.json")
    frequency = summary["artifact/phonons/X_L_THz"]
    assert frequency == read(finished / "artifacts/summary.json")["artifact/phonons/X_L_THz"]
    content = read(finished / "artifacts/phonons.json")
    assert content["material"] == "ag"
    assert content["reference"].startswith("GPAW")
    assert content["versions"]["ase"]
    assert content["settings"]["supercell_repeat"] == 2
    assert content["results"]["model"]["modes"][0]["frequency_THz"] == frequency
    assert (finished / "artifacts/phonons.svg").is_file()
    assert str(finished) not in (finished / "artifacts/phonons.json").read_text()


def test_artifacts_of_data_without_a_material_are_refused_before_training(tmp_path: Path) -> None:
    frames = CONF_DIR.parent / "data/ag/frames.extxyz"
    with pytest.raises(ConfigError, match=r"artifacts=smoke: the data set 'extxyz' belongs to no material"):
        run(composed("train", "data=extxyz", f"data.path={frames}", "artifacts=smoke", f"output_dir={tmp_path}/run"))
    assert not (tmp_path / "run").exists()


def test_own_data_get_test_errors_and_a_note_that_there_is_no_bench(tmp_path: Path, capsys) -> None:
    frames = CONF_DIR.parent / "data/ag/frames.extxyz"
    run(composed("train", *TRAIN, "data=extxyz", f"data.path={frames}", f"output_dir={tmp_path}/run"))
    assert evaluate(f"run={tmp_path}/run") == []
    shown = capsys.readouterr().out
    assert "Errors of epoch" in shown
    assert "belongs to no material of the bench" in shown


def test_test_errors_are_those_of_the_training(finished: Path, tmp_path: Path) -> None:
    assert evaluate(f"run={finished}", "artifact=null", f"output_dir={tmp_path}") == []
    errors, summary = read(tmp_path / "artifacts/test_errors.json"), read(finished / "summary.json")
    numbers = {
        key: value
        for key, value in summary.items()
        if key.startswith(("test/", "trivial/", "train_frames/", "valid_frames/"))
    }
    assert len(numbers) > 24
    assert {key: errors[key] for key in numbers} == pytest.approx(numbers, rel=1e-6)


def test_a_run_whose_files_were_changed_is_not_evaluated(finished: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(finished, tmp_path / "run")
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", "seed: 1"))
    with pytest.raises(CheckpointError, match=r"config.yaml has changed since the run was finished"):
        evaluate(f"run={copied}", "artifact=null")


def test_a_run_that_names_code_of_others_runs_none(finished: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(finished, tmp_path / "run")
    (copied / "status.json").unlink()
    config = copied / "config.yaml"
    config.write_text(config.read_text().replace("source: bundled", "source: theirs.module:frames"))
    with pytest.raises(TrustError, match=r"config.yaml: data.source = theirs.module:frames .*trust=\[theirs.module\]"):
        evaluate(f"run={copied}", "artifact=null")
    with pytest.raises(ConfigError, match="No module named 'theirs'"):
        evaluate(f"run={copied}", "artifact=null", "trust=[theirs]")


def test_a_run_is_measured_on_the_material_of_its_data(finished: Path, tmp_path: Path) -> None:
    few = (
        "artifact=repulsion",
        "size=smoke",
        "settings.repulsion.points=12",
        "settings.repulsion.consistency_points=2",
    )
    (outcome,) = evaluate(f"run={finished}", *few, f"output_dir={tmp_path}")
    rows = {row.key: row for row in outcome.rows}
    assert rows["softening_slope_top_forces"].model > 0
    for kind in ("json", "svg", "png"):
        assert (tmp_path / f"artifacts/repulsion.{kind}").stat().st_size > 1000
    content = read(tmp_path / "artifacts/repulsion.json")
    assert content["settings"]["min_train_distance_A"]["AgAg"] > 1.5
    assert content["calculator"]["hash/data"] == read(finished / "summary.json")["hash/data"]


def test_a_measure_that_is_made_again_leaves_those_of_the_training_in_the_summary(
    finished: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(finished, tmp_path / finished.name)
    before = read(copied / "artifacts/summary.json")
    evaluate(f"run={copied}", "artifact=elastic", "size=smoke")
    assert before.items() <= read(copied / "artifacts/summary.json").items()


def test_any_ase_calculator_can_be_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outcome,) = evaluate(*EMT, "material=ag", "artifact=elastic", f"output_dir={tmp_path}")
    lattice = next(row for row in outcome.rows if row.key == "lattice_constant_A")
    assert lattice.model == pytest.approx(4.06, abs=0.02)  # EMT's silver is smaller than that of PBE
    assert lattice.error < -0.05
    content = read(tmp_path / "artifacts/elastic.json")
    assert content["calculator"]["factory"] == "ase.calculators.emt:EMT"
    assert set(content["calculator"]["packages"]) == {"ase"}
    assert "bulk modulus" in capsys.readouterr().out


def test_measures_one_after_another_are_all_in_the_summary_if_their_subject_is_the_same(tmp_path: Path) -> None:
    few = ("settings.repulsion.points=12", "settings.repulsion.consistency_points=2", f"output_dir={tmp_path}")

    def measured(artifact: str, material: str, calculator: str = EMT[0]) -> set[str]:
        evaluate(calculator, "size=smoke", f"material={material}", f"artifact={artifact}", *few)
        return {key.split("/")[1] for key in read(tmp_path / "artifacts/summary.json")}

    assert measured("elastic", "ag") == {"elastic"}
    assert measured("repulsion", "ag") == {"elastic", "repulsion"}
    assert measured("repulsion", "ag_eam") == {"repulsion"}, "another reference"
    assert measured("elastic", "ag_eam") == {"elastic", "repulsion"}
    oracle = "calculator=scalarpath.artifacts.oracles:TightBindingSilver"
    assert measured("repulsion", "ag_eam", oracle) == {"repulsion"}, "another calculator"


def test_a_crystal_of_ones_own_is_compared_with_a_reference_of_ones_own(tmp_path: Path, capsys) -> None:
    write(tmp_path / "alloy.cif", Atoms("AuCu", [[0, 0, 0], [1.4, 1.4, 1.8]], cell=[2.8, 2.8, 3.6], pbc=True))
    given = (f"structure={tmp_path}/alloy.cif", "reference=ase.calculators.emt:EMT")
    found = evaluate(*EMT, *given, "artifact=[elastic,rdf]", f"output_dir={tmp_path}/out")
    assert [outcome.skipped != "" for outcome in found] == [False, True]
    assert all(row.error == pytest.approx(0.0, abs=1e-9) for row in found[0].rows)
    content = read(tmp_path / "out/artifacts/elastic.json")
    assert (content["material"], content["reference"]) == ("alloy", "EMT")
    shown = capsys.readouterr().out
    assert "alloy, reference: EMT" in shown
    assert "rdf: not measured: at which temperature it is molten is not known" in shown


def test_another_structure_of_the_same_name_is_another_subject(tmp_path: Path) -> None:
    few = ("settings.repulsion.points=12", "settings.repulsion.consistency_points=2", f"output_dir={tmp_path}/out")

    def measured(artifact: str, atoms: Atoms) -> tuple[str, set[str]]:
        write(tmp_path / "cu.extxyz", atoms)
        evaluate(*EMT, f"structure={tmp_path}/cu.extxyz", f"artifact={artifact}", *few)
        kept = {key.split("/")[1] for key in read(tmp_path / "out/artifacts/summary.json")}
        return read(tmp_path / f"out/artifacts/{artifact}.json")["structure_hash"], kept

    crystal = bulk("Cu")
    first, kept = measured("elastic", crystal)
    assert kept == {"elastic"}
    assert measured("repulsion", crystal) == (first, {"elastic", "repulsion"})
    crystal.set_cell(1.01 * crystal.cell, scale_atoms=True)
    other, kept = measured("repulsion", crystal)
    assert other != first
    assert kept == {"repulsion"}


def test_a_run_is_measured_on_a_crystal_of_its_elements(finished: Path, tmp_path: Path) -> None:
    write(tmp_path / "hexagonal.xyz", bulk("Ag", "hcp", a=2.9))
    (outcome,) = evaluate(
        f"run={finished}",
        f"structure={tmp_path}/hexagonal.xyz",
        "artifact=phonons",
        "size=smoke",
        "settings.phonons.supercell_repeat=1",
        f"output_dir={tmp_path}/out",
    )
    assert next(row for row in outcome.rows if row.key == "mean_frequency_THz").model > 0
    write(tmp_path / "copper.cif", bulk("Cu"))
    with pytest.raises(ArtifactError, match=r"structure = copper needs Cu, but this potential knows Ag"):
        evaluate(f"run={finished}", f"structure={tmp_path}/copper.cif", f"output_dir={tmp_path}/out")


def test_a_failed_measure_is_an_error_after_the_others_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ArtifactError("nothing moves.")

    monkeypatch.setattr("scalarpath.artifacts.measures.nve.measure_nve", fail)
    with pytest.raises(ArtifactError, match="1 of 2 measures failed: nve; the others are written"):
        evaluate(*EMT, "artifact=[nve,elastic]", "material=ag", f"output_dir={tmp_path}")
    assert read(tmp_path / "artifacts/elastic.json")["rows"]
    assert read(tmp_path / "artifacts/nve.json")["error"] == "nothing moves."


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        ((), ConfigError, "give either run=.* or calculator="),
        (("run=somewhere", *EMT), ConfigError, "give either run=.* or calculator="),
        (("run=nowhere",), CheckpointError, "^nowhere: there is no run in this directory"),
        (EMT, ConfigError, "calculator= needs material= or structure="),
        ((*EMT, "material=ag", "structure=a.cif"), ConfigError, "material= and structure= are both given"),
        (("run=a", "frames=b", "structure=a.cif"), ConfigError, "frames= measures errors, .*leave structure= out"),
        ((*EMT, "structure=absent.cif"), DataError, r"absent\.cif: no such file"),
        (
            (*EMT, "material=ag", "reference_options={a:1}"),
            ConfigError,
            "reference_options is given without reference=",
        ),
        ((*EMT, "material=ag", "artifact=null"), ConfigError, "artifact=null leaves nothing to do"),
        ((*EMT, "material=gold"), ArtifactError, r"material = gold is unknown; use one of: si.* structure="),
        ((*EMT, "material=ag_em"), ArtifactError, r"material = ag_em is unknown \(did you mean 'ag_eam'\?\)"),
        ((*EMT, "material=si"), ArtifactError, r"EMT cannot compute Si .*choose a material whose elements"),
        ((*EMT, "material=ag", "artifact=sound"), ConfigError, "artifact must be one of repulsion, .*'sound'"),
        ((*EMT, "material=ag", "settings.nve.block_ps=long"), ConfigError, r"settings\.nve\.block_ps must be a number"),
        (
            (*EMT, "material=ag", "settings.nve.block_ps=99"),
            ConfigError,
            r"settings\.nve\.block_ps = 99\.0 does not lie",
        ),
        ((*EMT, "material=ag", "artifact=[]"), ConfigError, "artifact is empty"),
        ((*EMT, "material=ag", "artifact=[nve,nve]"), ConfigError, "artifact lists nve twice"),
        ((*EMT, "material=ag", "artifact=phonon"), ConfigError, r"\(did you mean 'phonons'\?\)"),
        (("calculator=EMT", "material=ag"), ConfigError, "calculator = EMT is not of the form package.module:name"),
        (("calculator=no.such:EMT", "material=ag"), ConfigError, "calculator = no.such:EMT cannot be imported"),
        (
            ("calculator=ase.calculators.emt:XYZ", "material=ag"),
            ConfigError,
            "calculator = ase.calculators.emt:XYZ cannot be imported",
        ),
        (("calculator=ase.build:bulk", "material=ag"), ConfigError, "fails with the options {}"),
        (
            ("calculator=ase.build:molecule", "calculator_options={name:H2O}", "material=ag"),
            ConfigError,
            "returns a Atoms",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_sentence(overrides, error, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        evaluate(*overrides)
    assert "\n" not in str(caught.value)


def test_a_potential_is_not_measured_on_elements_that_it_does_not_know(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="material = lif needs Li and F, but this potential knows Ag"):
        evaluate(f"run={finished}", "material=lif", f"output_dir={tmp_path}")


@pytest.mark.parametrize("artifact", ["null", "elastic"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: str
) -> None:
    monkeypatch.setattr(command, "error_table", None)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file/artifacts is not writable: .*; say with output_dir= where"):
        evaluate(f"run={finished}", f"artifact={artifact}", f"output_dir={tmp_path}/file")
    with pytest.raises(ConfigError, match=r"file/artifacts is not writable: .*; say with output_dir= where"):
        evaluate(*EMT, "material=ag", "artifact=elastic", f"output_dir={tmp_path}/file")


def test_an_unfinished_or_changed_run_is_refused(finished: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(finished, copied)
    (copied / "status.json").unlink()  # as if the run had always been so
    provenance = read(copied / "provenance.json") | {"data_hash": "other"}
    (copied / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(DataError, match="the data have changed since this run"):
        evaluate(f"run={copied}")
    (copied / "summary.json").unlink()
    with pytest.raises(CheckpointError, match=r"this run is not finished .*use resume="):
        evaluate(f"run={copied}")


def test_a_mistake_on_the_command_line_is_one_line_and_status_2(tmp_path: Path) -> None:
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), "calculator=ase.calculators.emt:EMT"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: calculator= needs material=")
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_help_says_what_can_be_measured_and_on_what() -> None:
    text = composed("evaluate", whole=True).hydra.help.header
    words = set(re.findall(r"\w+", text))
    assert {*MEASURES, *BENCHES, "structure", "reference", "smoke", "full"} <= words
