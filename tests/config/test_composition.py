"""Every file under conf/ composes, is read, and is documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.runs.job import Job, plain_config

OPTIONS = [
    str(file.relative_to(CONF_DIR))
    for group in sorted(
        path.name for path in CONF_DIR.iterdir() if path.is_dir() and path.name not in ("hydra", "size")
    )
    for file in sorted((CONF_DIR / group).glob("*.yaml"))
]


def composed(*overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("train", list(overrides))


def read(*overrides: str) -> Job:
    return Job.read(plain_config(composed(*overrides)))


def test_the_defaults_are_the_documented_job() -> None:
    job = read()
    assert (job.config["backbone"]["kind"], job.config["head"]["name"], job.config["data"]["name"]) == (
        "mace", "baseline", "si",
    )  # fmt: skip
    assert (job.seed, job.dtype, job.repulsion) == (0, "float32", None)
    assert job.output_dir.startswith("outputs/")
    assert job.output_dir.endswith("_si_mace_baseline_s0")


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_composes_and_is_read(option: str) -> None:
    group, name = option.removesuffix(".yaml").split("/")
    needs = {"extxyz": ["data.path=x"], "schedule_free": ["scheduler=constant", "callbacks.ema=null"]}
    job = read(f"{group}={name}", *needs.get(name, []))
    assert job.trainer.max_epochs >= 1


@pytest.mark.parametrize("option", ["train.yaml", *OPTIONS])
def test_every_file_begins_with_a_comment_that_says_what_it_is(option: str) -> None:
    first, second = (CONF_DIR / option).read_text().splitlines()[:2]
    text = second if first.startswith("# @package") else first
    assert text.startswith("# ")
    assert len(text) > 20


def test_an_experiment_can_be_combined_with_any_arm_and_overridden() -> None:
    job = read("experiment=smoke", "head=panpgs", "trainer.max_epochs=7")
    assert (job.config["head"]["name"], job.trainer.max_epochs) == ("panpgs", 7)


@pytest.mark.parametrize("data", ["ethanol", "rmd17", "md17"])
def test_a_data_set_without_stress_does_not_weigh_it(data: str) -> None:
    assert read(f"data={data}").loss.required == {"energy", "forces"}
    assert "stress" in read(f"data={data}", "loss.stress=1.0").loss.required
    assert "stress" in read("data=si").loss.required


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+sede=1", r"config has no setting 'sede' \(did you mean 'seed'\?\); known settings: .*seed"),
        ("+optimizer.momentum=0.9", "optimizer has no setting 'momentum'"),
        ("+trainer.precision=16", "trainer has no setting 'precision'"),
        ("seed=-1", "seed must be at least 0"),
        ("seed=a", "seed must be a whole number"),
        ("dtype=float16", "dtype must be one of float32, float64"),
        ("~backbone.cutoff", "backbone lacks the setting 'cutoff'"),
        ("~head", "cannot be resolved: .*head.name"),
        ("logger.kind=wandb", r"logger\.wandb .*belongs to logger=wandb"),
    ],
)
def test_an_unknown_or_impossible_setting_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(override)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("data=si data.split_file=s.json", r"data.split_file is not read with data.split=random; add data.split=file"),
        ("data=lif data.merge_near_duplicates=true", r"joins groups, which data.split=random does not have"),
        ("data=lif_grouped data.split=blocks", r"joins groups, .*blocks .*; add data.split=groups, or set it to false"),
    ],
)
def test_what_a_new_run_would_ignore_is_refused_and_an_older_run_with_it_stays_readable(
    overrides: str, message: str, tmp_path: Path
) -> None:
    config = composed(*overrides.split())
    with pytest.raises(ConfigError, match=message):
        Job.from_hydra(config)
    OmegaConf.save(OmegaConf.create(plain_config(config)), tmp_path / "config.yaml")
    assert Job.from_hydra(composed(f"resume={tmp_path}")).config == Job.of_run(tmp_path).config


def test_the_configuration_lies_in_the_checkout_or_the_wheel() -> None:
    assert (Path(CONF_DIR) / "train.yaml").is_file()


def test_settings_are_read_without_torch() -> None:
    code = "import sys, scalarpath.runs.job; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
