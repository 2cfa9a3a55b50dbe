"""A potential as a program of torch.export, which runs where there is torch and nothing of this package.

Forces and stress are the gradient of the energy, so the gradient is traced first, together with the energy; what is
exported then holds no differentiation. Numbers of atoms and edges stay open. What a graph has besides its edges (their
order, slots, reverses and pairs) is made inside the program, from edges in any order.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from ase import Atoms
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.experimental import _config as shapes
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Data

from scalarpath.core.errors import ConfigError
from scalarpath.core.files import put_in_place
from scalarpath.graph import AtomicGraph
from scalarpath.models.comparison import compared, refuse_deviations, sample_structures
from scalarpath.potential import Potential
from scalarpath.potential.backend import TOLERANCE

FACTS = "facts.json"  # the name under which the archive holds what is to be known of the potential
INPUTS = {
    "numbers": "[N] int64, atomic numbers",
    "positions": "[N, 3] float64, A",
    "cell": "[3, 3] float64, cell vectors as rows, A; zeros without a cell",
    "edge_index": "[2, E] int64, centre i and neighbour j of every edge, both directions, in any order",
    "edge_shift": "[E, 3] int64, cell shifts S of every edge: vector = positions[j] - positions[i] + S @ cell",
}
OUTPUTS = {
    "energy": "[] float64, eV",
    "node_energy": "[N] float64, eV, E0 included",
    "forces": "[N, 3] float64, eV/A",
    "stress": "[3, 3] float64, eV/A^3, tension positive; NaN without a cell",
}


class _Standalone(nn.Module):
    """A potential as a function of INPUTS; its values are OUTPUTS."""

    def __init__(self, potential: Potential):
        super().__init__()
        self.potential = potential

    def forward(
        self, numbers: Tensor, positions: Tensor, cell: Tensor, edge_index: Tensor, edge_shift: Tensor
    ) -> dict[str, Tensor]:
        potential = self.potential
        species = potential.known_species(numbers)
        torch._assert_async((species >= 0).all(), "an element of which the potential knows nothing")
        elements = range(len(potential.species))
        counts = [cast(int, (species == s).sum().item()) for s in elements] if len(elements) > 1 else None
        graph = _graph(positions, cell, edge_index, edge_shift)
        out = potential.predict(cast(Data, graph), species, counts)
        return {name: out[name].squeeze(0) if name in ("energy", "stress") else out[name] for name in OUTPUTS}


def _graph(positions: Tensor, cell: Tensor, edge_index: Tensor, edge_shift: Tensor) -> SimpleNamespace:
    """The fields that ``Potential.predict`` reads of a batch of one structure, from edges in any order."""
    n_atoms, n_edges = positions.shape[0], edge_index.shape[1]
    centre, order = torch.sort(edge_index[0], stable=True)
    neighbour, shift = edge_index[1].index_select(0, order), edge_shift.index_select(0, order)
    edges = torch.arange(n_edges, device=centre.device)
    first = torch.searchsorted(centre, torch.arange(n_atoms, device=centre.device))
    slot = edges - first.index_select(0, centre)
    # every edge and its reverse have the same number
    there, back = (_numbers(*ends, n_atoms) for ends in ((centre, neighbour, shift), (neighbour, centre, -shift)))
    by_there, by_back = torch.argsort(there), torch.argsort(back)
    matched = there.index_select(0, by_there) == back.index_select(0, by_back)
    torch._assert_async(matched.all(), "an edge i -> j without the edge j -> i of the opposite shift")
    reverse = torch.empty_like(edges).index_copy(0, by_back, by_there)
    # half of the edges come before their reverse; a choice by values would have a size that nobody knows
    pair_edge = torch.argsort((edges > reverse).to(torch.int64), stable=True)[: n_edges // 2]
    pairs = torch.arange(n_edges // 2, device=centre.device)
    edge_pair = torch.empty_like(edges).index_copy(0, pair_edge, pairs)
    edge_pair = edge_pair.index_copy(0, reverse.index_select(0, pair_edge), pairs)
    return SimpleNamespace(
        pos=positions,
        cell=cell[None],
        pbc=(torch.linalg.cross(cell[0], cell[1]) * cell[2]).sum().expand(1, 3) != 0.0,
        batch=torch.zeros_like(positions[:, 0], dtype=torch.int64),
        edge_index=torch.stack([centre, neighbour]),
        edge_shift=shift.to(positions.dtype),
        edge_slot=slot,
        edge_reverse=reverse,
        edge_pair=edge_pair,
        pair_edge=pair_edge,
        max_degree=_largest(slot) + 1,
    )


def _numbers(centre: Tensor, neighbour: Tensor, shift: Tensor, n_atoms: int) -> Tensor:
    """One number [E] for every edge, different for different edges."""
    number, most = centre * n_atoms + neighbour, torch.cat([shift.flatten().abs(), shift.new_zeros(1)]).max()
    for along in shift.unbind(1):
        number = number * (2 * most + 1) + along + most
    return number


def _largest(slot: Tensor) -> int:
    return cast(int, torch.cat([slot, slot.new_full((1,), -1)]).max().item())


def write_standalone(file: Path, potential: Potential, facts: Mapping[str, Any]) -> tuple[dict[str, float], list[int]]:
    """Write the program of ``potential`` with ``facts`` as FACTS beside it, after it was compared with the potential.

    Returns, for each of OUTPUTS, the largest deviation over the largest value of all structures of the comparison, and
    the numbers of atoms of these. Raises ConfigError for a potential that cannot be exported, or whose program computes
    something else; nothing is written then.
    """
    if potential.charged:  # the number of waves depends on the values of the cell
        raise ConfigError(
            "format=torch-export cannot hold the Coulomb energy of head.linear.charges; leave format= out, and use the "
            "file with this package."
        )
    potential = potential.copy_to().requires_grad_(False)
    structures = sample_structures(potential)
    kind = potential.config["backbone"]["kind"]
    about = {**facts, "inputs": INPUTS, "outputs": OUTPUTS}
    try:
        content = _exported(potential, structures[0], json.dumps(about, indent=2))
        # torch would refuse an atom alone, as a size that may be special; what it computes for one is compared
        program = torch.export.load(io.BytesIO(content)).module(check_guards=False)
        answers = [program(*_inputs(atoms, potential.cutoff).values()) for atoms in structures]
        deviations = compared(potential, structures, answers)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            f"format=torch-export: backbone {kind} cannot be exported ({type(error).__name__}: {first}); leave format= "
            "out, and use the file with this package."
        ) from error
    refuse_deviations("torch-export", "the exported program", deviations, TOLERANCE[potential.dtype])
    with put_in_place(file) as partial:
        partial.write_bytes(content)
    return deviations, [len(atoms) for atoms in structures]


def _exported(potential: Potential, example: Atoms, facts: str) -> bytes:
    inputs = _inputs(example, potential.cutoff)
    for name, tensor in inputs.items():
        if name != "cell":
            torch._dynamo.mark_dynamic(tensor, 1 if name == "edge_index" else 0)
    sizes = ({0: Dim.DYNAMIC}, {0: Dim.DYNAMIC}, None, {1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    # as if 0 and 1 were sizes like others: an atom alone has no edges
    patch = shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]  # torch adds it to the module
    with patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about weights that share memory: what was saved is compared, see above
        with torch.enable_grad():
            graph = make_fx(_Standalone(potential), tracing_mode="symbolic", _allow_non_fake_inputs=True)(
                *inputs.values()
            )
        graph.graph.eliminate_dead_code()
        graph.recompile()
        program = torch.export.export(_Named(graph), tuple(inputs.values()), dynamic_shapes=sizes, strict=False)
        stream = io.BytesIO()
        torch.export.save(program, stream, extra_files={FACTS: facts})
    return stream.getvalue()


class _Named(nn.Module):
    """Gives the inputs of a traced graph their names."""

    def __init__(self, traced: nn.Module):
        super().__init__()
        self.traced = traced

    def forward(
        self, numbers: Tensor, positions: Tensor, cell: Tensor, edge_index: Tensor, edge_shift: Tensor
    ) -> dict[str, Tensor]:
        return cast(dict[str, Tensor], self.traced(numbers, positions, cell, edge_index, edge_shift))


def _inputs(atoms: Atoms, cutoff: float) -> dict[str, Tensor]:
    graph = AtomicGraph.from_atoms(atoms, cutoff)
    values = (graph.z, graph.pos, graph.cell[0], graph.edge_index, graph.edge_shift.to(torch.int64))
    return dict(zip(INPUTS, values, strict=True))
