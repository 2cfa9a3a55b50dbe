"""The structure of a liquid, and how far the liquid of a model is from that of the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalarpath.artifacts.bootstrap import block_indices, interval
from scalarpath.artifacts.measures.pair_distribution import (
    MIN_COUNTS,
    PairStructure,
    difference_measures,
    structure_measures,
)
from scalarpath.core.errors import ArtifactError

DISTANCES = ("g_mae", "wasserstein_A")
_CHANGES = {"onset_A": "onset_shift_A", "first_peak_A": "first_peak_shift_A", "height": "height_change"}


@dataclass(frozen=True)
class RdfFailure:
    """A replica that failed while it was melted, equilibrated or sampled, and when within that stage."""

    stage: str
    kind: str
    seed: int
    time_fs: float
    reason: str


@dataclass(frozen=True)
class RdfResult:
    """Liquid structure over the seeds that did not fail; pairs: by label (``total``, ``Li-F``), empty where all failed.

    r_A: bin centres; block_frames: frames in a block; diffusion_A2_ps: mean square displacement while sampled, less
    that of the centre of mass, over six times the duration.
    """

    atoms: int
    density_atoms_A3: float
    temperature_K: float
    mean_temperature_K: float
    minimum_distance_A: float
    diffusion_A2_ps: float
    r_A: list[float]
    block_frames: int
    pairs: dict[str, PairStructure]
    seeds: list[int]
    failures: list[RdfFailure]
    failure_fraction: float
    notes: list[str]


@dataclass(frozen=True)
class RdfComparison:
    """Model less reference by label of the pair, with 95 % intervals [low, high].

    differences: onset_shift_A_at_<level> (negative: atoms come too close), first_peak_shift_A,
    first_peak_height_change, and the distances g_mae and wasserstein_A; floors: what these two are between two
    resamples of the reference: a distance near its floor says nothing, even where its interval leaves out zero;
    minimum_distance_change_A: of the smallest distance seen.
    """

    differences: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, list[float]]]
    floors: dict[str, dict[str, float]]
    minimum_distance_change_A: float
    notes: list[str]


def compare_rdf(model: RdfResult, reference: RdfResult, samples: int) -> RdfComparison:
    """Differences of two liquids measured by the same protocol, with intervals from resampling the blocks of both.

    Raises ArtifactError where the two are not comparable: other bins, numbers of atoms, density or temperature.
    """
    for name in ("r_A", "atoms", "density_atoms_A3", "temperature_K"):
        values = np.array(getattr(model, name)), np.array(getattr(reference, name))
        if values[0].shape != values[1].shape or not np.allclose(*values, rtol=1e-6):
            raise ArtifactError(
                f"the liquids of model and reference differ in {name}; run both with the same settings and supercell."
            )
    notes = [f"{who}: {note}" for who, result in (("model", model), ("reference", reference)) for note in result.notes]
    shared = [label for label in model.pairs if label in reference.pairs]
    if not shared:
        notes.append("No liquid to compare: all replicas of the model or of the reference failed.")
    comparison = RdfComparison({}, {}, {}, model.minimum_distance_A - reference.minimum_distance_A, notes)
    for label in shared:
        ours, theirs = _Liquid(model, label), _Liquid(reference, label)
        mine, other, again = (liquid.resamples(samples, seed) for seed, liquid in enumerate((ours, theirs, theirs)))
        difference = _difference(ours, ours.counts, theirs, theirs.counts)
        resampled = [list(_difference(ours, a, theirs, b).values()) for a, b in zip(mine, other, strict=True)]
        noise = [theirs.distances(theirs.g(a), theirs.g(b)) for a, b in zip(other, again, strict=True)]
        comparison.differences[label] = difference
        comparison.intervals[label] = {
            name: _interval(name, difference[name], column)
            for name, column in zip(difference, np.array(resampled).T, strict=True)
        }
        comparison.floors[label] = {name: float(np.mean([sample[name] for sample in noise])) for name in noise[0]}
    return comparison


def _interval(name: str, value: float, resampled: np.ndarray) -> list[float]:
    """Percentiles; of a distance, which noise makes larger in every resample, the basic interval, not below zero.

    2 value - percentile: A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application (1997), eq. 5.6.
    """
    low, high = interval(resampled)
    return [max(2 * value - high, 0.0), max(2 * value - low, 0.0)] if name in DISTANCES else [low, high]


class _Liquid:
    """The counts of one label: [blocks, bins], and what turns them into g."""

    def __init__(self, result: RdfResult, label: str):
        pair: PairStructure = result.pairs[label]
        self.r, self.ideal = np.array(result.r_A), np.array(pair.ideal_counts)
        self.counts, self.frames = np.array(pair.block_counts), result.block_frames
        self.resolved = MIN_COUNTS / (self.ideal * self.frames * len(self.counts))

    def resamples(self, samples: int, seed: int) -> np.ndarray:
        return self.counts[block_indices([len(self.counts)], 1, samples, seed)]

    def g(self, counts: np.ndarray) -> np.ndarray:
        return counts.mean(axis=0) / (self.ideal * self.frames)

    def measures(self, counts: np.ndarray) -> dict[str, float]:
        return structure_measures(self.r, self.g(counts), self.resolved)

    def distances(self, g: np.ndarray, other: np.ndarray) -> dict[str, float]:
        return difference_measures(self.r, g, other, self.ideal)


def _difference(ours: _Liquid, counts: np.ndarray, theirs: _Liquid, their_counts: np.ndarray) -> dict[str, float]:
    mine, other = ours.measures(counts), theirs.measures(their_counts)
    changes = {}
    for name, value in mine.items():
        renamed = name
        for quantity, change in _CHANGES.items():
            renamed = renamed.replace(quantity, change)
        changes[renamed] = value - other[name]
    return {**changes, **ours.distances(ours.g(counts), theirs.g(their_counts))}
