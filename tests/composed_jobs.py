"""Configurations of train.py, composed as its command line composes them."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.core.resources import CONF_DIR
from scalarpath.runs.job import Job
from scalarpath.training import run as training

SMOKE = ("experiment=smoke", "callbacks.progress.style=none", "measure_overhead=false")


def job(*overrides: str):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return compose("train", list(overrides))


def run(cfg):
    """Train as the command line does."""
    resume = cfg.get("resume")
    return training.run(Job.from_hydra(cfg), resume=None if resume is None else Path(resume))
