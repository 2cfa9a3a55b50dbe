"""A backbone from outside the package: one class, one YAML file, and every head works on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]

TOY = '''
import torch
from torch import nn

from scalarpath.backbones import Backbone
from scalarpath.heads.interface import PathwayShape
from scalarpath.nn.mlp import MLP
from scalarpath.graph.layout import from_padded
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.nn.radial import BesselBasis, RadialEmbedding


class EmbeddedAtom(Backbone):
    """E_i = f(sum_j W_ij), a pair density and its embedding."""

    def __init__(self, atomic_numbers, cutoff, generator, *, width: int = 8):
        super().__init__()
        self.radial = RadialEmbedding(BesselBasis(8, cutoff), 6)
        self.density = MLP([8, 16, width], generator)
        self.embedding = MLP([width, 16, 1], generator)
        self.register_buffer("mean_degree", torch.ones((), dtype=torch.float64))
        self.pathway = PathwayShape(cutoff, len(atomic_numbers), 8, (width,), (width,), (width,))

    def set_mean_degree(self, mean_degree):
        self.mean_degree.fill_(mean_degree)

    def forward(self, geometry, head):
        basis, envelope = self.radial(geometry)
        radial = basis * envelope
        context = head.prepare(geometry, radial)
        hidden, matrix = self.density.hidden(radial), self.density.last()
        (weights,), gate = head.edge_weights(0, hidden, matrix, matrix.shape[1], context)
        if gate is not None:
            weights = weights * from_padded(gate, geometry)
        scalars = head.pool(0, neighbour_sum(weights, geometry) / self.mean_degree, context)
        energy = self.embedding(scalars).squeeze(1)
        extra = head.readout(0, scalars, context)
        return energy if extra is None else energy + extra
'''
YAML = "# A toy.\nkind: outside.toy:EmbeddedAtom\ncutoff: 4.5\nwidth: 6\n"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A user's folder with a package and a configuration of its own."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "toy.py").write_text(TOY)
    (tmp_path / "conf" / "backbone").mkdir(parents=True)
    (tmp_path / "conf" / "backbone" / "embedded_atom.yaml").write_text(YAML)
    return tmp_path


@pytest.mark.parametrize("head", ["baseline", "panpgs", "pgs_readout_features"])
def test_it_trains_from_the_command_line_with_any_head(elsewhere: Path, head: str) -> None:
    paths = os.pathsep.join([str(ROOT / "src"), str(elsewhere)])
    command = [
        sys.executable, str(ROOT / "train.py"), "--config-dir", "conf", "backbone=embedded_atom", f"head={head}",
        "experiment=smoke", "output_dir=run",
    ]  # fmt: skip
    result = subprocess.run(
        command,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    summary = json.loads((elsewhere / "run" / "summary.json").read_text())
    assert summary["backbone"] == "outside.toy:EmbeddedAtom"
    content = torch.load(elsewhere / "run" / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["potential"]["config"]["backbone"]["width"] == 6
