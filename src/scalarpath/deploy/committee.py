"""Several potentials as one: their mean, and how far they are apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.core.errors import ConfigError
from scalarpath.deploy.calculator import GraphCalculator, copy_of
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential

Members = Sequence[Potential | str | Path]

SPREAD = {"energy": "energy_per_atom_std", "forces": "forces_std"}
"""By quantity, the spread that has one number for a structure, or for each of its atoms where the quantity has that."""


class Committee:
    """The mean of several potentials and their spread, from one graph.

    members: two or more Potentials, checkpoint files or run directories; dtype: "float32" or "float64" (None: of each
    as it is); device: torch device; trust: as for ``load_potential``. ``cutoff`` (Å), up to which neighbours are
    searched, is the longest one of a member: whatever lies beyond its own is nothing to a member. ``species`` are the
    atomic numbers that all members know, ``charged``: whether a member has charges. Raises ConfigError for fewer than
    two members or the same one twice, CheckpointError for an unusable one.
    """

    def __init__(
        self,
        members: Members,
        *,
        dtype: str | None = None,
        device: str | torch.device = "cpu",
        trust: Collection[str] = (),
    ):
        if isinstance(members, str | Path | Potential) or len(members) < 2:
            raise ConfigError("a committee needs two or more potentials, in a list, to have a spread; add another run.")
        names = [each if isinstance(each, Potential) else Path(each).resolve() for each in members]
        for k, name in enumerate(names):
            if name in names[:k]:
                twice = "one potential" if isinstance(name, Potential) else name
                raise ConfigError(f"{twice} is twice in the committee, which hides the spread; name every member once.")
        self.members = [copy_of(each, dtype, device, trust).requires_grad_(False) for each in members]
        self.species = sorted(set.intersection(*(set(member.species) for member in self.members)))
        self.cutoff = max(member.cutoff for member in self.members)
        self.charged = any(member.charged for member in self.members)
        self.device = self.members[0].device

    def __call__(self, graph: Batch) -> dict[str, Tensor]:
        """Mean predictions, as ``Potential.forward`` gives them, and the spread: G structures of N atoms in all.

        ===================  =========  ========================================================================
        key                  shape      standard deviation of
        ===================  =========  ========================================================================
        energy_per_atom_std  [G]        energy / number of atoms, eV
        forces_std           [N]        the force on an atom, eV/Å: root of the summed variances of x, y and z
        stress_std           [G, 3, 3]  every component of the stress, eV/Å^3
        ===================  =========  ========================================================================

        Deviations are those of a sample of K members: squares are divided by K - 1. Raises DataError for an element
        that a member does not know.
        """
        with torch.enable_grad():
            each = [member(graph) for member in self.members]
        stacked = {key: torch.stack([out[key].detach() for out in each]) for key in each[0]}
        return {
            **{key: values.mean(0) for key, values in stacked.items()},
            "energy_per_atom_std": stacked["energy"].std(0) / graph.ptr.diff(),
            "forces_std": stacked["forces"].var(0).sum(-1).sqrt(),
            "stress_std": stacked["stress"].std(0),
        }


class CommitteeCalculator(GraphCalculator):
    """Mean energy, forces and stress of several potentials for ASE, and their spread in ``results``.

    The arguments are those of ``Committee``. ``results`` has energy_per_atom_std (a number, eV), forces_std [atoms]
    (eV/Å) and stress_std (Voigt order, eV/Å^3) of ``Committee``, which ``get_property`` gives too.
    """

    implemented_properties = [  # noqa: RUF012 - as ASE declares it
        *GraphCalculator.implemented_properties,
        "energy_per_atom_std",
        "forces_std",
        "stress_std",
    ]

    def __init__(
        self, members: Members, *, dtype: str | None = None, device: str | torch.device = "cpu", **kwargs: Any
    ):
        super().__init__(Committee(members, dtype=dtype, device=device), **kwargs)

    def results_of(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """With the spread."""
        results = super().results_of(arrays)
        results["energy_per_atom_std"] = float(arrays["energy_per_atom_std"][0])
        results["forces_std"] = arrays["forces_std"]
        if "stress" in results:
            results["stress_std"] = full_3x3_to_voigt_6_stress(arrays["stress_std"][0])
        return results


class Spread(NamedTuple):
    """How far the members of a committee are apart, as ``Committee`` defines it.

    energy_per_atom: [structures], eV; forces: [atoms] of every structure, eV/Å.
    """

    energy_per_atom: np.ndarray
    forces: list[np.ndarray]


def spread(committee: Committee, structures: Sequence[Atoms]) -> Spread:
    """Spread of a committee on ``structures``, which are evaluated together.

    Raises GraphError for a structure without a graph (see ``neighbour_list``), DataError for an unknown element.
    """
    if not structures:
        return Spread(np.empty(0), [])
    graphs = [
        AtomicGraph.from_atoms(atoms, committee.cutoff, where=f"structure {k}") for k, atoms in enumerate(structures)
    ]
    out = committee(collate(graphs).to(committee.device))
    ends = np.cumsum([len(atoms) for atoms in structures])[:-1]
    return Spread(out["energy_per_atom_std"].cpu().numpy(), np.split(out["forces_std"].cpu().numpy(), ends))
