"""``python benchmark.py suite=kernels``: one potential with and without the CPU kernels."""

from __future__ import annotations

import json

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from samples import SMALL_MACE

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost import kernels, run
from scalarpath.nn.cpu import choice, library


@pytest.fixture
def setting(tmp_path):
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        overrides = ["suite=kernels", "structure=ethanol10", "heads=[panpgs]", "rounds=1", "backbone=mace"]
        cfg = compose("benchmark", overrides=[*overrides, f"output={tmp_path}/kernels.json"])
        for key, value in SMALL_MACE.items():
            cfg.backbone[key] = value
        yield cfg


@pytest.mark.skipif(library.library() is None, reason="no C++ compiler here")
def test_both_ways_are_timed_for_every_head_and_step(setting, tmp_path, monkeypatch):
    seen = []
    usable = choice.usable
    monkeypatch.setattr(choice, "usable", lambda values: seen.append(usable(values)) or seen[-1])
    run(setting)
    arms = json.loads((tmp_path / "kernels.json").read_text())["arms"]
    assert sorted(arms) == ["baseline", "panpgs"]
    assert all(sorted(arm) == ["inference", "train"] for arm in arms.values())
    assert all(row["with_s"] > 0 and row["without_s"] > 0 for arm in arms.values() for row in arm.values())
    # torch's way of one operation may ask again for a smaller one, which its kernel holds inside
    assert 0 < seen.count(True) <= seen.count(False)
    assert choice.usable(torch.zeros(2))


def test_without_kernels_there_is_nothing_to_compare(setting, monkeypatch):
    monkeypatch.setattr(kernels, "library", lambda: None)
    with pytest.raises(ConfigError, match="nothing to compare"):
        run(setting)
