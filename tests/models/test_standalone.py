"""format=torch-export: the same numbers for structures of any size, where this package cannot be imported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from documented import write_examples
from samples import CUTOFF, head_config, make_potential, quartz_like, silanol

from scalarpath.backbones import Backbone
from scalarpath.core.errors import ConfigError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.graph import AtomicGraph
from scalarpath.heads import PathwayShape
from scalarpath.models.export import run
from scalarpath.models.settings import ExportSettings
from scalarpath.models.standalone import INPUTS, OUTPUTS, write_standalone
from scalarpath.nn.neighbour_sum import neighbour_sum
from scalarpath.potential import build_potential

# a process in which nothing but torch, NumPy and ASE is left
RUN = """
import json, runpy, sys
for name in ("scalarpath", "torch_geometric", "pytorch_lightning", "hydra", "e3nn", "vesin"):
    sys.modules[name] = None
out = runpy.run_path("standalone.py")["out"]
print(json.dumps({name: value.tolist() for name, value in out.items()}))
"""


class Pairs(Backbone):
    """E_i = w sum_j (1 - r_ij / cutoff)^3 or, with a flaw, something that no program can hold or that it gets wrong."""

    def __init__(self, atomic_numbers, cutoff, generator, *, flaw: str | None = None):
        super().__init__()
        self.flaw = flaw
        self.weight = torch.nn.Parameter(torch.randn(1, generator=generator, dtype=torch.float64))
        self.pathway = PathwayShape(cutoff, len(atomic_numbers), 1, (), (), ())

    def set_mean_degree(self, mean_degree):
        pass

    def forward(self, geometry, head):
        pair = self.weight * (1 - geometry.scaled_distances).clamp(min=0) ** 3
        if self.flaw == "numpy":
            pair = pair * torch.from_numpy(pair.detach().numpy())
        if self.flaw == "traced" and isinstance(geometry.n_atoms, torch.SymInt):
            pair = 1.001 * pair
        return neighbour_sum(pair, geometry).squeeze(1)


def pairs(head: dict | None = None, **options: object):
    config = {
        "species": [8, 14],
        "cutoff": CUTOFF,
        "dtype": "float64",
        "head": head or {"name": "baseline", "parts": {}},
    }
    return build_potential({**config, "backbone": {"kind": f"{__name__}:Pairs", **options}}).eval()


def inputs(atoms: Atoms, cutoff: float = CUTOFF) -> list[torch.Tensor]:
    graph = AtomicGraph.from_atoms(atoms, cutoff)
    return [graph.z, graph.pos, graph.cell[0], graph.edge_index, graph.edge_shift.long()]


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The program of ``pairs()`` in a folder of its own."""
    file = tmp_path_factory.mktemp("written") / "my_model.pt2"
    deviations, sizes = write_standalone(file, pairs(), {"cutoff_A": CUTOFF, "elements": ["O", "Si"]})
    assert (set(deviations), min(sizes)) == (set(OUTPUTS), 1)
    assert max(deviations.values()) < 1e-13
    return file


@pytest.fixture(scope="module")
def program(written):
    return torch.export.load(written).module(check_guards=False)


def test_the_documented_script_runs_without_the_package(written, tmp_path):
    shutil.copy(written, tmp_path)
    write_examples("simulations.md", tmp_path)
    result = subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    out = json.loads(result.stdout.splitlines()[-1])
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1)
    atoms.calc = ScalarPathCalculator(pairs())
    assert out["energy"] == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(out["forces"], atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(out["stress"], atoms.get_stress(voigt=False), atol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "head", "options"),
    [
        ("mace", "panpgs", {}),
        ("nequip", "panpgs", {}),
        ("sevennet", "baseline", {}),
        ("allegro", "panpgs", {}),
        ("allegro", "linear", {"dtype": "float32"}),
        ("allegro", "panpgs", {"pair_cutoffs": {"Si": {"O": 3.0}}}),
    ],
)
def test_every_backbone_becomes_a_program(tmp_path, kind, head, options):
    deviations, _ = write_standalone(tmp_path / "model.pt2", make_potential(head, kind=kind, **options), {})
    assert max(deviations.values()) < (1e-5 if "dtype" in options else 1e-12)


@pytest.mark.parametrize(
    "atoms", [quartz_like() * (2, 2, 1), silanol(), bulk("Si"), Atoms("SiO", [[0, 0, 0], [0, 0, 2]])]
)
def test_edges_come_in_any_order_and_may_be_longer_than_the_cutoff(program, atoms):
    atoms.calc = ScalarPathCalculator(pairs())
    numbers, positions, cell, index, shift = inputs(atoms, CUTOFF + 1.0)
    order = torch.randperm(index.shape[1], generator=torch.Generator().manual_seed(0))
    out = program(numbers, positions, cell, index[:, order], shift[order])
    assert out["energy"].item() == pytest.approx(atoms.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(out["node_energy"], atoms.calc.results["energies"], atol=1e-12)
    np.testing.assert_allclose(out["forces"], atoms.get_forces(), atol=1e-12)
    if atoms.pbc.all():
        np.testing.assert_allclose(out["stress"], atoms.get_stress(voigt=False), atol=1e-13)
    else:
        assert out["stress"].isnan().all()


def test_what_is_wrong_with_the_inputs_is_said(program):
    numbers, positions, cell, index, shift = inputs(quartz_like())
    half = index[0] < index[1]
    with pytest.raises(RuntimeError, match="an edge i -> j without the edge j -> i of the opposite shift"):
        program(numbers, positions, cell, index[:, half], shift[half])
    for foreign in (6, 999):
        with pytest.raises(RuntimeError, match="an element of which the potential knows nothing"):
            program(torch.full_like(numbers, foreign), positions, cell, index, shift)


def test_what_cannot_be_exported_is_refused_and_nothing_is_written(tmp_path):
    charged = head_config("ionic") | {"linear": head_config("ionic")["linear"] | {"charges": {"Si": 2.0, "O": -2.0}}}
    for potential, message in (
        (pairs(charged), r"cannot hold the Coulomb energy of head.linear.charges; leave format= out"),
        (pairs(flaw="numpy"), r"backbone .*:Pairs cannot be exported \(\w+: .*\); leave format= out"),
        (pairs(flaw="traced"), r"\w+ of the exported program differs by \d.* nothing was written"),
    ):
        with pytest.raises(ConfigError, match=rf"format=torch-export.* {message}"):
            write_standalone(tmp_path / "model.pt2", potential, {})
    assert not list(tmp_path.iterdir())


def test_the_name_says_the_format():
    with pytest.raises(
        ConfigError, match=r"file=my_model.sp is to be an archive of torch.export; call it my_model.pt2"
    ):
        ExportSettings("run", "my_model.sp", "torch-export", None, [])


@pytest.mark.slow
def test_a_run_is_exported_with_what_is_to_be_known(trained, tmp_path, capsys):
    run(ExportSettings(str(trained), str(tmp_path / "model.pt2"), "torch-export", "MIT", []))
    assert "Compared with the potential on structures of 1, 1, 2, 4, 12, 36 atoms: energy" in capsys.readouterr().out
    extra = {"facts.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    facts = json.loads(extra["facts.json"])
    assert (facts["elements"], facts["cutoff_A"], facts["licence"]) == (["Si"], 5.0, "MIT")
    assert (facts["inputs"], facts["outputs"]) == (INPUTS, OUTPUTS)
    assert facts["exported"]["versions"]["torch"] == torch.__version__
