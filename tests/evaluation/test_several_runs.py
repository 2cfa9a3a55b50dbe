"""``evaluate.py run='outputs/study/*'``: every finished run that matches, and a table at the end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ase.io import read, write
from composed_jobs import SMOKE, job, run
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.core.errors import ArtifactError, CheckpointError, ConfigError
from scalarpath.core.resources import BUNDLED_DIR, CONF_DIR
from scalarpath.evaluation.settings import EvaluationSettings
from scalarpath.evaluation.several import evaluate_each

ROOT = Path(__file__).parents[2]


def settings(*overrides: str) -> EvaluationSettings:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return EvaluationSettings.from_hydra(compose("evaluate", ["artifact=null", *overrides]))


def evaluate_command(*overrides: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "evaluate.py", *overrides]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Two finished runs, one that is not finished, and a folder that is no run; frames beside them."""
    folder = tmp_path_factory.mktemp("study")
    run(job(*SMOKE, f"output_dir={folder / 'si_s0'}"))
    for name in ("si_s1", "si_s2"):
        shutil.copytree(folder / "si_s0", folder / name)
    (folder / "si_s2/summary.json").unlink()
    (folder / "si_figures").mkdir()
    write(folder / "other.extxyz", read(BUNDLED_DIR / "si/unseen.extxyz", ":2"))
    return folder


def test_all_finished_runs_that_match_are_measured_and_shown_together(study: Path) -> None:
    done = evaluate_command(f"run={study}/si_*", f"frames={study}/other.extxyz", "artifact=null")
    assert done.returncode == 0, done.stderr
    assert f"left out: {study}/si_s2: this run is not finished" in done.stdout
    assert "2 of 2: " in done.stdout
    table = done.stdout[done.stdout.index("MAE on other.extxyz") :]
    assert [name for name in ("si_s0", "si_s1", "si_s2") if name in table] == ["si_s0", "si_s1"]
    assert (study / "si_s1/artifacts/frames_other.extxyz.json").is_file()


def test_a_run_that_fails_is_told_at_the_end_and_the_others_are_done(study: Path, capfd) -> None:
    shutil.copytree(study / "si_s0", study / "bad_s0")
    shutil.copytree(study / "si_s0", study / "bad_s1")
    (study / "bad_s0/checkpoints/best.ckpt").write_bytes(b"cut off")
    each, _ = settings(f"run={study}/bad_*", f"frames={study}/other.extxyz").each_run()
    with pytest.raises(ArtifactError, match=r"1 of 2 runs failed: .*bad_s0; the others are written"):
        evaluate_each(each)
    written = capfd.readouterr()
    assert written.err.startswith("error: ")
    assert "bad_s0" not in written.out[written.out.index("MAE on other.extxyz") :]
    assert (study / "bad_s1/artifacts/frames_other.extxyz.json").is_file()


def test_a_run_whose_data_are_gone_does_not_keep_the_others_from_their_turn(study: Path) -> None:
    for name in ("moved_s0", "moved_s1"):
        shutil.copytree(study / "si_s0", study / name)
    config = study / "moved_s0/config.yaml"
    (study / "moved_s0/status.json").unlink()  # which has the hash of the configuration
    config.write_text(config.read_text().replace("source: bundled", "source: file").replace("path: si/", "path: gone/"))
    done = evaluate_command(f"run={study}/moved_*", "artifact=null")
    assert done.returncode == 2
    assert f"error: run={study}/moved_s0: its data are not at gone/" in done.stderr
    assert "1 of 2 runs failed" in done.stderr
    assert (study / "moved_s1/artifacts/test_errors.json").is_file()


def test_a_name_with_the_letters_of_a_pattern_is_taken_as_it_is(study: Path) -> None:
    shutil.copytree(study / "si_s0", study / "odd[1]")
    each, left_out = settings(f"run='{study}/odd[1]'").each_run()
    assert ([one.run for one in each], left_out) == ([f"{study}/odd[1]"], [])


def test_a_pattern_without_a_finished_run_is_refused(study: Path) -> None:
    with pytest.raises(ConfigError, match=r"no finished run matches this pattern"):
        settings(f"run={study}/ag_*").each_run()
    with pytest.raises(CheckpointError, match=r"si_s2: this run is not finished"):
        settings(f"run={study}/si_s2").each_run()


@pytest.mark.parametrize("given", ["committee=[other]", "output_dir=elsewhere", "explain=true,beside=other"])
def test_what_belongs_to_one_run_is_refused_for_several(given: str, study: Path) -> None:
    name = given.rpartition(",")[2].partition("=")[0]
    with pytest.raises(ConfigError, match=f"{name}= belongs to one run, and 2 match"):
        settings(f"run={study}/si_*", *given.split(",")).each_run()
