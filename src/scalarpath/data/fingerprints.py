"""How alike two frames are: soft radial histograms of their atoms' surroundings, compared by the angle between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scalarpath.data.reading import Frame
from scalarpath.graph.neighbours import neighbour_list

SHELLS = 24  # Gaussians, evenly spaced up to the cutoff and as wide as their spacing
CUTOFF = 5.0  # Å; of the fingerprint alone, so that a split does not depend on the backbone
TAIL = 3.0  # widths beyond the cutoff from which neighbours still count: none enters or leaves with a jump
ROWS = 512  # frames compared at once with all others


def fingerprints(frames: Sequence[Frame]) -> np.ndarray:
    """Fingerprints of length one, [frames, elements^2 x 2 x SHELLS]; all zero for a frame without any neighbours.

    For every pair of elements: how many neighbours of the second an atom of the first has in each soft shell, as mean
    and standard deviation over the atoms, so that cells of different size can be compared. Raises GraphError for a
    frame whose neighbours cannot be found.
    """
    elements = np.unique(np.concatenate([np.unique(frame.atoms.numbers) for frame in frames]))
    rows = np.stack([_histograms(frame, elements).ravel() for frame in frames])
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)


def _histograms(frame: Frame, elements: np.ndarray) -> np.ndarray:
    """[centre element, neighbour element, mean or deviation, SHELLS]; zero for an element that is not there."""
    width = CUTOFF / SHELLS
    centres = width * np.arange(1, SHELLS + 1)
    neighbours = neighbour_list(frame.atoms, CUTOFF + TAIL * width, frame.where)
    weight = np.exp(-0.5 * ((neighbours.distance[:, None] - centres) / width) ** 2)
    element = np.searchsorted(elements, frame.atoms.numbers)
    atoms = np.zeros((len(frame.atoms), len(elements), SHELLS))
    centre, neighbour = neighbours.edge_index
    np.add.at(atoms, (centre, element[neighbour]), weight)
    result = np.zeros((len(elements), len(elements), 2, SHELLS))
    for k in np.unique(element):
        result[k, :, 0], result[k, :, 1] = atoms[element == k].mean(axis=0), atoms[element == k].std(axis=0)
    return result


def distances(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Cosine distances (0 to 1) of fingerprints [n, F] and [m, F], ROWS at a time: first row, [rows, m]."""
    for start in range(0, len(first), ROWS):
        yield start, np.maximum(1.0 - first[start : start + ROWS] @ second.T, 0.0)
