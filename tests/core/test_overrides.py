"""Settings on a command line: paths as they were typed, commands that can be pasted, errors in one sentence."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from command_line import train_py
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from scalarpath.core.errors import ConfigError
from scalarpath.core.overrides import as_meant, check_overrides, explained, setting, with_mode
from scalarpath.core.resources import CONF_DIR

STRANGE = (
    "größe.extxyz", "frames (1).extxyz", "a=b.extxyz", "a,b.extxyz", "[1].extxyz", "it's.xyz", "a#b&c;d!e^f.xyz",
    "{a}.xyz", "2024", "true", "1e5", "frames(1)", " a ", "range(1,3)", "'quoted'", "a'b\\", "run/[x]/y", "x@0:10",
    "$HOME", "日本", "a\\b", "-1", "*.xyz",
)  # fmt: skip


def read(text: str):
    """The value of a setting as Hydra reads what the command gives it."""
    (meant,) = as_meant([text])
    return OverridesParser.create().parse_override(meant).value()


@pytest.mark.parametrize("path", [path for path in STRANGE if path != "'quoted'"])
def test_a_path_is_what_was_typed(path: str) -> None:
    assert read(f"data.path={path}") == path


def test_the_home_folder_is_meant_by_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jürgen")
    assert read("data.path=~/cu.extxyz") == "/home/jürgen/cu.extxyz"
    assert read("data.path='~/cu.extxyz'") == "/home/jürgen/cu.extxyz"
    assert read("data.path=[~/a.xyz,größe.xyz]") == ["/home/jürgen/a.xyz", "größe.xyz"]


def test_the_other_runs_of_an_evaluation_are_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jürgen")
    assert read("beside=7") == "7"
    assert read("beside=~/b0") == "/home/jürgen/b0"
    assert read("committee=[~/b0,8]") == ["/home/jürgen/b0", "8"]


def test_what_is_no_path_keeps_its_meaning() -> None:
    kept = [
        "seed=3",
        "data.path=null",
        "data.path=[a,b]",
        "output_dir=o/${now:%Y}_x",
        "where={data:si}",
        "resume=true",
        "--cfg",
        "job",
    ]
    assert as_meant(kept) == kept
    assert as_meant(["seed=0", "-m", "head=pan", "--cfg", "job"]) == ["-m", "seed=0", "head=pan", "--cfg", "job"]
    assert as_meant(["-m", "data.path=a,b"]) == ["-m", "data.path=a,b"], "a sweep over two files"
    assert read("logger.wandb.name=größe (1)") == "größe (1)", "what cannot be read otherwise is a text"


def test_resume_is_a_switch_of_the_benchmark_and_a_directory_elsewhere(monkeypatch, tmp_path: Path) -> None:
    assert read("resume=true") is True
    assert read("resume=false") is False
    assert read("resume=2024") == "2024"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "true").mkdir()
    assert read("resume=true") == "true"


def test_a_command_without_settings_takes_the_defaults() -> None:
    assert check_overrides("train", as_meant([])) == []


def test_a_sweep_has_one_directory() -> None:
    assert as_meant(["-m", "hydra.sweep.dir=sw ö,(1)"]) == ["-m", "hydra.sweep.dir='sw ö,(1)'"]


def test_a_file_with_a_comma_is_one_file_in_a_sweep_too(tmp_path: Path) -> None:
    (tmp_path / "a,b").touch()
    meant = as_meant(["-m", f"data.path={tmp_path}/a,b"])
    assert OverridesParser.create().parse_override(meant[1]).value() == f"{tmp_path}/a,b"


@pytest.mark.parametrize("path", STRANGE)
def test_a_printed_setting_can_be_pasted(path: str) -> None:
    for flags in ([], ["-m"]):
        (pasted,) = shlex.split(setting("resume", path))
        assert OverridesParser.create().parse_override(as_meant([*flags, pasted])[-1]).value() == path
    assert setting("resume", "outputs/a_b/1-2") == "resume=outputs/a_b/1-2"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.max_epoch=3", r"trainer has no setting 'max_epoch' \(did you mean 'max_epochs'\?\)"),
        ("max_epochs=3", r"config has no setting 'max_epochs' \(did you mean 'trainer.max_epochs'\?\)"),
        ("trainer.max_epochs.x=3", r"trainer.max_epochs is no group of settings"),
        ("hydra.verbos=3", r"hydra has no setting 'verbos' \(did you mean 'verbose'\?\)"),
        ("hydra/launcher=jobli", r"hydra/launcher=jobli is unknown \(did you mean 'joblib'\?\); use basic, .*slurm\.$"),
        ("+head=pan", r"head has an option already; write head=<option> once"),
        ("foo", r"foo is no setting; settings are key=value"),
        ("where={a:ö}", r"where={a:ö}: the value cannot be read; put texts"),
        ("head=panpsg", r"head must be one of baseline.* not 'panpsg' \(did you mean 'panpgs'\?\)"),
        ("head=null", r"head must be one of .*, not null"),
        ("callbacks=null", r"callbacks must be one of default, early_stopping, not null"),
        ("trainer=3", r"trainer must be one of cpu, ddp, ddp_cpu, gpu, not 3"),
        ("head=[pan,pgs]", r"head=\[pan,pgs\]: one option is meant, not a list; .*: -m head=pan,pgs\.$"),
        ("seed=0,1", r"seed=0,1: several values are jobs of a sweep, which -m starts"),
        ("hydra.run.dir=x", r"hydra.run.dir cannot be set: the run directory is output_dir="),
        ("hydra.sweep.dir=x", r"hydra.sweep.dir belongs to a sweep \(-m\)"),
        ("hydra.job.chdir=true", r"hydra.job.chdir cannot be set"),
    ],
)
def test_an_error_of_the_command_line_names_what_was_meant(override: str, message: str) -> None:
    def command() -> None:
        arguments = check_overrides("train", as_meant([override]))
        try:
            with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
                compose("train", arguments)
        except HydraException as error:
            raise explained(error, "train", arguments) from error

    with pytest.raises(ConfigError, match=message) as caught:
        command()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("=3", "=3 names no setting; settings are key=value"),
        ("-m output_dir=runs", r"output_dir cannot be set for a sweep \(-m\): its directory is hydra.sweep.dir"),
        ("-m resume=run", "resume cannot be set for a sweep"),
        ("-m --cfg job", "-m starts jobs and --cfg or --info print settings; take one"),
        ("+given_paths.path=x", r"given_paths cannot be set: config\.yaml says there"),
        ("+earlier_max_epochs=[1]", "earlier_max_epochs cannot be set"),
    ],
)
def test_what_would_break_a_command_is_refused_at_once(arguments: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_overrides("train", arguments.split())


def test_an_experiment_that_starts_a_sweep_takes_what_sweeps_take(tmp_path: Path) -> None:
    given = ["experiment=ladder", "head=baseline,pan", "hydra.sweep.dir=x"]
    assert check_overrides("train", as_meant(given)) == given
    with pytest.raises(ConfigError, match="output_dir cannot be set for a sweep"):
        check_overrides("train", ["experiment=ladder", "output_dir=x"])
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("hydra: {mode: MULTIRUN}\n")
    assert check_overrides("train", ["--config-dir", str(tmp_path), "experiment=mine", "seed=0,1"])
    with pytest.raises(ConfigError, match="which -m starts"):
        check_overrides("train", ["experiment=smoke", "seed=0,1"])


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ("experiment=screen seed=0,1", True),
        ("-cd conf experiment=screen", True),
        ("experiment=screen --cfg job", False),
        ("experiment=screen hydra.mode=RUN", False),
        ("experiment=smoke seed=0", False),
    ],
)
def test_an_experiment_that_starts_a_sweep_says_so_to_hydra(given: str, starts: bool) -> None:
    assert with_mode(given.split()) == ["-m"] * starts + given.split()


def test_a_wrong_setting_of_a_sweep_is_named_and_not_its_lists(tmp_path: Path) -> None:
    wrong = ["experiment=screen", "seed=0,1", "head=panpgs", "head.parts.edge_gate.width=2"]
    result = train_py(*wrong, cwd=tmp_path)
    assert result.returncode == 2
    assert "head.parts.edge_gate has no setting 'width'" in result.stderr


@pytest.mark.parametrize("override", ["experiment=null", "debug=null"])
def test_no_option_where_none_is_the_default_changes_nothing(override: str) -> None:
    assert check_overrides("train", [override, "seed=3"]) == ["seed=3"]


def test_a_process_of_a_distributed_job_is_told_what_was_typed() -> None:
    """As in lightning_fabric.strategies.launchers.subprocess_script."""
    added = ['hydra.run.dir="."', "hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null"]
    assert as_meant(["trainer=ddp_cpu", *added]) == ["trainer=ddp_cpu"]
