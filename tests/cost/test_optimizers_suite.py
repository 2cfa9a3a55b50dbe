"""``python benchmark.py suite=optimizers``: training steps with several optimizers on the same gradients."""

from __future__ import annotations

import json

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from samples import SMALL_MACE

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost import optimizers, run


def measured(tmp_path, names: str) -> dict[str, dict[str, float]]:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        overrides = ["suite=optimizers", "structure=ag4x2", "rounds=1", "backbone=mace", f"optimizers={names}"]
        cfg = compose("benchmark", overrides=[*overrides, f"output={tmp_path}/optimizers.json"])
        for key, value in SMALL_MACE.items():
            cfg.backbone[key] = value
        run(cfg)
    return json.loads((tmp_path / "optimizers.json").read_text())["arms"]


def test_every_optimizer_is_compared_with_adamw(tmp_path, monkeypatch):
    clock = iter(range(10**6))  # every interval lasts one second
    monkeypatch.setattr(optimizers, "STEPS_OF_ROUND", 2)
    monkeypatch.setattr(optimizers, "_now", lambda device: float(next(clock)))
    arms = measured(tmp_path, "[soap,muon,schedule_free]")
    assert list(arms) == ["adamw", "soap", "muon", "schedule_free"]
    assert all((arm["optimizer_s"], arm["step_s"], arm["median"]) == (1.0, 2.0, 1.0) for arm in arms.values())


def test_an_unknown_optimizer_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"the optimizer 'soup' is unknown \(did you mean 'soap'\?\); use adam, adamw"
    ):
        measured(tmp_path, "[soup]")
