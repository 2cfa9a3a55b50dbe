"""Benches for a potential of scalarpath and for any other ASE calculator, on a material or a file of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import atomic_numbers, chemical_symbols

from scalarpath.artifacts.bench import Bench, Subject, bench_reference
from scalarpath.artifacts.materials import Material
from scalarpath.artifacts.measures.repulsion import training_reach
from scalarpath.artifacts.measures.walls import minimum_distance
from scalarpath.artifacts.own_structure import OwnStructure, own_structure
from scalarpath.artifacts.stored_values import Reference
from scalarpath.core.errors import ArtifactError, ConfigError
from scalarpath.core.imports import imported
from scalarpath.data.reading import read_frames
from scalarpath.deploy.batched import BatchedPotential
from scalarpath.deploy.calculator import ScalarPathCalculator
from scalarpath.graph import AtomicGraph
from scalarpath.potential import Potential


def subject_of(
    material: str | None, structure: str | None, reference: str | None, reference_options: Mapping[str, Any] | None
) -> Subject:
    """An entry of ``BENCHES`` or the structure in a file that ASE reads, with its own or the given reference.

    reference: ``package.module:factory`` of an ASE calculator. Raises ArtifactError for an unknown entry or a structure
    that cannot be measured, DataError for a file that cannot be read, ConfigError for a reference that cannot be made.
    """
    found = Subject(_read(structure), None, "none") if structure is not None else bench_reference(str(material))
    if reference is None:
        return found
    calculator = _calculator(reference, reference_options or {}, "reference")
    _check_that_it_computes(calculator, found.material, f"reference = {reference}")
    return Subject(found.material, calculator, reference.rpartition(":")[2])


def bench_of_potential(
    potential: Potential,
    subject: Subject,
    dtypes: Sequence[str],
    device: str | torch.device,
    train: Sequence[AtomicGraph] = (),
    test: Sequence[AtomicGraph] = (),
) -> Bench:
    """Bench for a potential; train and test: the frames of its run.

    Raises ArtifactError for a material with elements that the potential does not know.
    """
    item, reference, reference_name = subject
    check_elements(potential, item)
    calculator = ScalarPathCalculator(potential, dtype=dtypes[0], device=device)
    return Bench(
        material=_with_known_pairs(item, reference or calculator),
        calculator=calculator,
        dynamics={dtype: BatchedPotential(potential, dtype=dtype, device=device) for dtype in dtypes},
        reference=reference,
        reference_name=reference_name,
        min_train_distance_A=training_reach([atoms_of(graph) for graph in train], item) if train else None,
        test_frames=[atoms_of(graph) for graph in test if torch.isfinite(graph.forces).all(dim=1).any()],
    )


def check_elements(potential: Potential, item: Material) -> None:
    """Raise ArtifactError for a material with elements that the potential does not know."""
    known = {chemical_symbols[z] for z in potential.species}
    if missing := sorted(set(item.smallest.get_chemical_symbols()) - known, key=atomic_numbers.__getitem__):
        asked = "structure" if isinstance(item, OwnStructure) else "material"
        raise ArtifactError(
            f"{asked} = {item.name} needs {' and '.join(missing)}, but this potential knows "
            f"{', '.join(sorted(known))}; give a {asked} of the elements that it was trained on."
        )


def bench_of_calculator(factory: str, options: Mapping[str, Any], subject: Subject) -> Bench:
    """Bench for the ASE calculator that ``package.module:factory`` returns.

    Raises ConfigError where it cannot be made, ArtifactError where it cannot compute the material.
    """
    calculator = _calculator(factory, options, "calculator")
    _check_that_it_computes(calculator, subject.material, f"calculator = {factory}")
    item = _with_known_pairs(subject.material, subject.reference or calculator)
    return Bench(item, calculator, {"calculator": calculator}, subject.reference, subject.reference_name)


def _read(structure: str) -> OwnStructure:
    """The one structure of a file, called like the file."""
    frames = list(islice(read_frames(structure), 2))
    file = Path(frames[0].file)
    if len(frames) > 1:
        raise ArtifactError(
            f"structure = {structure} has several frames; choose one by its number, for example {file}@0, or {file}@-1 "
            "for the last."
        )
    return own_structure(file.stem, frames[0].atoms)


def _with_known_pairs(item: Material, calculator: Reference) -> Material:
    """A structure of one's own with the distance of every free pair where this calculator has its minimum."""
    if not isinstance(item, OwnStructure) or not isinstance(calculator, Calculator):
        return item
    found = {}
    for pair, near in item.dimers.items():
        try:
            found[pair] = minimum_distance(calculator, *pair, near)
        except Exception:  # a foreign calculator may raise anything; the measures that need pairs will say so
            found[pair] = near
    return replace(item, dimers=found)


def _calculator(factory: str, options: Mapping[str, Any], setting: str) -> Calculator:
    """``setting``: calculator or reference."""
    made = imported(factory, f"{setting} = {factory}")
    try:
        calculator = made(**options)
    except Exception as error:  # a foreign factory may raise anything
        raise ConfigError(
            f"{setting} = {factory} fails with the options {dict(options)} ({type(error).__name__}: {error}); "
            f"correct {setting}_options."
        ) from error
    if not isinstance(calculator, Calculator):
        raise ConfigError(
            f"{setting} = {factory} returns a {type(calculator).__name__}; name a factory of an ASE calculator."
        )
    return calculator


def _check_that_it_computes(calculator: Calculator, item: Material, what: str) -> None:
    try:
        calculator.get_forces(item.smallest)
    except Exception as error:  # a foreign calculator may raise anything
        raise ArtifactError(
            f"{what} cannot compute {item.formula} ({type(error).__name__}: {error}); choose a material whose elements "
            "it knows."
        ) from error


def atoms_of(graph: AtomicGraph) -> Atoms:
    """The structure of a graph with its force labels."""
    atoms = Atoms(graph.z.numpy(), graph.pos.numpy(), cell=graph.cell[0].numpy(), pbc=graph.pbc[0].numpy())
    atoms.calc = SinglePointCalculator(atoms, forces=graph.forces.numpy())
    return atoms
