"""A backbone from outside the package, the one of docs/backbones.md: every head works on it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command_line import train_py
from documented import write_examples


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A user's folder with a package and a configuration of its own."""
    assert len(write_examples("backbones.md", tmp_path)) == 2
    return tmp_path


@pytest.mark.parametrize("head", ["baseline", "panpgs", "pgs_readout_features", "wide_param head.widen.tolerance=0.02"])
def test_it_trains_from_the_command_line_with_any_head(elsewhere: Path, head: str) -> None:
    arguments = ["--config-dir", "my_conf", "backbone=embedded_atom", "experiment=smoke", *f"head={head}".split()]
    result = train_py(*arguments, "output_dir=run", cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    summary = json.loads((elsewhere / "run" / "summary.json").read_text())
    assert summary["backbone"] == "my_package.embedded_atom:EmbeddedAtom"
    content = torch.load(elsewhere / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["potential"]["config"]["backbone"]["width"] == 6


def test_its_options_are_checked_by_its_annotations(elsewhere: Path) -> None:
    arguments = ["--config-dir", "my_conf", "backbone=embedded_atom", "backbone.hidden=[0]", "data.path=not_there"]
    result = train_py(*arguments, cwd=elsewhere)
    assert result.returncode == 2
    assert result.stderr.strip() == "error: backbone.hidden must be at least 1, not 0."
