"""Benches for a potential of scalarpath and for any other ASE calculator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols

from scalarpath.artifacts.bench import Bench, bench_reference
from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.measures.repulsion import shortest_distances
from scalarpath.core.errors import ArtifactError, ConfigError
from scalarpath.core.imports import imported
from scalarpath.deploy.batched import BatchedPotential
from scalarpath.deploy.calculator import ScalarPathCalculator
from scalarpath.graph import AtomicGraph
from scalarpath.potential import Potential


def bench_of_potential(
    potential: Potential,
    name: str,
    dtypes: Sequence[str],
    device: str | torch.device,
    train: Sequence[AtomicGraph] = (),
    test: Sequence[AtomicGraph] = (),
) -> Bench:
    """Bench for a potential on the entry ``name`` of ``BENCHES``; train and test: the frames of its run.

    Raises ArtifactError for an unknown name or a material with elements that the potential does not know.
    """
    item, reference, reference_name = bench_reference(name)
    known = {chemical_symbols[z] for z in potential.species}
    if missing := sorted(_symbols(item) - known, key=atomic_numbers.__getitem__):
        raise ArtifactError(
            f"material = {name} needs {' and '.join(missing)}, but this potential knows {', '.join(sorted(known))}; "
            "give the material that it was trained on."
        )
    return Bench(
        material=item,
        calculator=ScalarPathCalculator(potential, dtype=dtypes[0], device=device),
        dynamics={dtype: BatchedPotential(potential, dtype=dtype, device=device) for dtype in dtypes},
        reference=reference,
        reference_name=reference_name,
        min_train_distance_A=shortest_distances([_atoms(graph) for graph in train]) if train else None,
        test_frames=[_atoms(graph) for graph in test if torch.isfinite(graph.forces).any()],
    )


def bench_of_calculator(factory: str, options: Mapping[str, Any], name: str) -> Bench:
    """Bench for the ASE calculator that ``package.module:factory`` returns on the entry ``name`` of ``BENCHES``.

    Raises ConfigError where it cannot be made, ArtifactError for an unknown name or where it cannot compute the
    material.
    """
    item, reference, reference_name = bench_reference(name)
    calculator = _calculator(factory, options)
    try:
        calculator.get_forces(item.primitive_cell() if item.is_crystal else item.molecule())
    except Exception as error:  # a foreign calculator may raise anything
        raise ArtifactError(
            f"calculator = {factory} cannot compute {item.formula} ({type(error).__name__}: {error}); choose a "
            "material whose elements it knows."
        ) from error
    return Bench(item, calculator, {"calculator": calculator}, reference, reference_name)


def _calculator(factory: str, options: Mapping[str, Any]) -> Calculator:
    made = imported(factory, f"calculator = {factory}")
    try:
        calculator = made(**options)
    except Exception as error:  # a foreign factory may raise anything
        raise ConfigError(
            f"calculator = {factory} fails with the options {dict(options)} ({type(error).__name__}: {error}); "
            "correct calculator_options."
        ) from error
    if not isinstance(calculator, Calculator):
        raise ConfigError(
            f"calculator = {factory} returns a {type(calculator).__name__}; name a factory of an ASE calculator."
        )
    return calculator


def _symbols(item: Material) -> set[str]:
    atoms = item.conventional_cell() if item.is_crystal else item.molecule()
    return set(atoms.get_chemical_symbols())


def _atoms(graph: AtomicGraph) -> Atoms:
    """The structure of a graph with its force labels."""
    atoms = Atoms(graph.z.numpy(), graph.pos.numpy(), cell=graph.cell[0].numpy(), pbc=graph.pbc[0].numpy())
    atoms.calc = SinglePointCalculator(atoms, forces=graph.forces.numpy())
    return atoms
