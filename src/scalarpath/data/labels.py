"""Labels of a frame: where they are found, in which units and sign, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from scalarpath.core.errors import DataError
from scalarpath.core.quantities import QUANTITIES, Quantity
from scalarpath.core.units import ENERGY_TO_EV, FORCE_TO_EV_A, STRESS_ORDERS, STRESS_SIGNS, STRESS_TO_EV_A3
from scalarpath.data.config import LabelSettings
from scalarpath.data.reading import Frame, available_keys

AUTOMATIC_KEYS: dict[str, tuple[str, ...]] = {
    **{name: quantity.keys for name, quantity in QUANTITIES.items()},
    "virial": ("virial", "virials", "REF_virial", "ref_virial", "DFT_virial", "dft_virial"),
}
PLAIN = tuple(name for name in QUANTITIES if name not in ("energy", "forces", "stress"))
"""Quantities whose labels are taken as they are written, in the unit of ``core.quantities``."""
ASYMMETRY = 0.05  # largest |s_ij - s_ji| relative to max |s| that is still taken for noise


LabelKeys = Mapping[str, str | None]
"""The key under which each label is read, of AUTOMATIC_KEYS; None where the data set does not carry it."""


class Labels(NamedTuple):
    """Labels of one frame of N atoms: energy (eV), forces [N, 3] (eV/Å), stress [3, 3] (eV/Å^3); missing is NaN.

    ``plain`` holds those of the quantities in PLAIN. Labels of single atoms may be missing too.
    ``dropped_stress`` tells that the frame has a stress but is not periodic in all directions, so it means nothing;
    ``ordered_stress``, that the stress was written as six numbers, whose order is a matter of convention.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    dropped_stress: bool = False
    ordered_stress: bool = False
    plain: Mapping[str, np.ndarray] = MappingProxyType({})

    def of(self, name: str) -> Any:
        """The label of the quantity ``name``."""
        return self.plain[name] if name in PLAIN else getattr(self, name)

    def has(self, name: str) -> bool:
        """Whether the frame carries the quantity ``name``, for some of its atoms at least."""
        return bool(np.isfinite(self.of(name)).any())


def find_keys(frames: Sequence[Frame], spec: LabelSettings) -> LabelKeys:
    """Decide, once for the whole data set, under which key each property is read.

    Raises DataError if a key that was given is carried by no frame, or if several keys could be meant.
    """
    return _keys_among(available_keys(frames), spec, frames[0].file)


class StreamedLabels:
    """The labels of frames that come one by one and are read once.

    They are those that ``find_keys`` and ``extract_labels`` give for all frames at a time: a key that only later frames
    carry was missing in the earlier ones, and one that then makes the choice ambiguous is refused there.
    """

    def __init__(self, spec: LabelSettings):
        self._spec = spec
        self._given = {key for name in AUTOMATIC_KEYS if (key := getattr(spec, f"{name}_key", None)) is not None}
        self._present: set[str] = set()
        self._file = ""
        self.keys: LabelKeys = {}

    def of(self, frame: Frame) -> Labels:
        """Labels of the next frame; raises DataError as ``find_keys`` and ``extract_labels`` do."""
        present = self._present.union(available_keys([frame]))
        if not self.keys or present != self._present:
            self.keys = _keys_among(sorted(present | self._given), self._spec, frame.file)
            self._present, self._file = present, self._file or frame.file
        return extract_labels(frame, self.keys, self._spec)

    def close(self) -> None:
        """Raise DataError for a key that was given and no frame has carried."""
        _keys_among(sorted(self._present), self._spec, self._file)


def _keys_among(present: list[str], spec: LabelSettings, file: str) -> LabelKeys:
    """The keys of ``find_keys``, of those that are present."""
    found = {name: _find_key(name, getattr(spec, f"{name}_key", None), present, file) for name in AUTOMATIC_KEYS}
    if found["stress"] and found["virial"]:
        if not (spec.stress_key or spec.virial_key):
            raise DataError(
                f"{file}: both '{found['stress']}' and '{found['virial']}' could be the stress label; "
                "set data.stress_key or data.virial_key."
            )
        found["virial" if spec.stress_key else "stress"] = None
    return found


def _find_key(name: str, given: str | None, present: list[str], file: str) -> str | None:
    if given is not None:
        if given not in present:
            raise DataError(
                f"{file}: no frame has the key '{given}' given as data.{name}_key; the keys are: {', '.join(present)}."
            )
        return given
    candidates = [key for key in AUTOMATIC_KEYS[name] if key in present]
    if len(candidates) > 1:
        raise DataError(
            f"{file}: several keys could be the {name} label ({', '.join(candidates)}); set data.{name}_key to one."
        )
    return candidates[0] if candidates else None


def extract_labels(
    frame: Frame, keys: LabelKeys, spec: LabelSettings, required: frozenset[str] = frozenset()
) -> Labels:
    """Labels of one frame in eV, eV/Å, eV/Å^3 (tension positive); a label that is absent is NaN.

    Raises DataError naming the frame if a label is not finite (NaN in a label of atoms masks: it is missing there), is
    not a number, or has the wrong shape, or if the loss weighs stress (``"stress" in required``) and the frame carries
    one without being periodic in all directions.
    """
    n_atoms = len(frame.atoms)
    energy = _value(frame, keys["energy"], "energy", ((), (1,)))
    forces = _value(frame, keys["forces"], "forces", ((n_atoms, 3),))
    shapes = ((6,), (9,), (3, 3))
    stress = _value(frame, keys["stress"], "stress", shapes)
    virial = _value(frame, keys["virial"], "virial", shapes)
    has_stress, periodic = stress is not None or virial is not None, bool(np.all(frame.atoms.pbc))
    if has_stress and not periodic and "stress" in required:
        refuse_stress(frame)
    full_stress = np.full((3, 3), np.nan)
    if stress is not None and periodic:
        full_stress = (
            _tensor(stress, spec.order_of_six, frame)
            * STRESS_TO_EV_A3[spec.stress_unit]
            * STRESS_SIGNS[spec.stress_sign]
        )
    elif virial is not None and periodic:
        full_stress = -_tensor(virial, spec.order_of_six, frame) * ENERGY_TO_EV[spec.energy_unit] / cell_volume(frame)
    return Labels(
        energy=float("nan") if energy is None else float(energy.reshape(())) * ENERGY_TO_EV[spec.energy_unit],
        forces=np.full((n_atoms, 3), np.nan) if forces is None else forces * FORCE_TO_EV_A[spec.forces_unit],
        stress=full_stress,
        dropped_stress=has_stress and not periodic,
        ordered_stress=periodic and any(value is not None and value.shape == (6,) for value in (stress, virial)),
        plain={name: _plain(frame, keys[name], QUANTITIES[name]) for name in PLAIN},
    )


def refuse_stress(frame: Frame) -> NoReturn:
    """Raise DataError for a frame that is not periodic in all directions and has a stress, which the loss weighs."""
    raise DataError(
        f"{frame.where}: the loss weighs stress but the frame is not periodic in all directions "
        f"(pbc={np.asarray(frame.atoms.pbc).tolist()}), where stress has no meaning; remove its stress, "
        "set pbc, or give stress no weight (loss.stress=0)."
    )


def _plain(frame: Frame, key: str | None, quantity: Quantity) -> np.ndarray:
    shape = (len(frame.atoms), *quantity.shape) if quantity.of_atoms else quantity.shape
    value = _value(frame, key, quantity.name, (shape,))
    return np.full(shape, np.nan) if value is None else value


def cell_volume(frame: Frame) -> float:
    """Volume of a fully periodic cell in Å^3; raises DataError if the cell has none."""
    volume = abs(float(np.linalg.det(frame.atoms.cell.array)))
    if volume < 1e-6:
        raise DataError(f"{frame.where}: periodic in all directions but the cell has no volume; set a cell or pbc.")
    return volume


def _value(frame: Frame, key: str | None, name: str, shapes: tuple[tuple[int, ...], ...]) -> np.ndarray | None:
    raw = _lookup(frame, key)
    if raw is None:
        return None
    if np.asarray(raw).dtype.kind == "b":
        raise DataError(
            f"{frame.where}: {name} label '{key}' is true or false instead of numbers; repair this frame, whose column "
            "may be declared as logical (L) instead of real (R)."
        )
    try:
        value = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{frame.where}: {name} label '{key}' is not a number ({raw!r}); repair this frame.") from error
    if value.shape not in shapes:
        allowed = " or ".join(str(shape) for shape in shapes)
        raise DataError(
            f"{frame.where}: {name} label '{key}' has shape {value.shape} instead of {allowed}; "
            f"repair this frame or set data.{name}_key."
        )
    masked = name in QUANTITIES and QUANTITIES[name].of_atoms
    if np.isinf(value).any() or (np.isnan(value).any() and not masked):
        raise DataError(
            f"{frame.where}: NaN label in '{key}' ({name}); leave a missing label out instead, or remove this frame."
        )
    return value


def _lookup(frame: Frame, key: str | None) -> Any:
    """The value under ``key`` in calculator, info or arrays; the same key with two different values is an error."""
    if key is None:
        return None
    places = (getattr(frame.atoms.calc, "results", {}), frame.atoms.info, frame.atoms.arrays)
    values = [place[key] for place in places if place.get(key) is not None]
    if any(not np.array_equal(values[0], other) for other in values[1:]):
        raise DataError(f"{frame.where}: '{key}' has different values in info, arrays and calculator; keep one.")
    return values[0] if values else None


def _tensor(value: np.ndarray, order: str, frame: Frame) -> np.ndarray:
    """Symmetric 3x3 tensor from six numbers in one of STRESS_ORDERS, nine numbers or a matrix."""
    tensor = tensor_of(value, order) if value.shape == (6,) else value.reshape(3, 3)
    if np.abs(tensor - tensor.T).max() > ASYMMETRY * np.abs(tensor).max():
        raise DataError(f"{frame.where}: the stress or virial is not symmetric; check the order of its nine numbers.")
    return 0.5 * (tensor + tensor.T)


def tensor_of(numbers: np.ndarray, order: str) -> np.ndarray:
    """The symmetric tensor [3, 3] of six numbers in one of STRESS_ORDERS."""
    tensor = np.empty((3, 3))
    for (i, j), number in zip(_places(order), numbers, strict=True):
        tensor[i, j] = tensor[j, i] = number
    return tensor


def numbers_of(tensor: np.ndarray, order: str) -> np.ndarray:
    """The six numbers, in one of STRESS_ORDERS, of a symmetric tensor [3, 3]."""
    return np.array([tensor[place] for place in _places(order)])


def _places(order: str) -> list[tuple[int, int]]:
    return [("xyz".index(pair[0]), "xyz".index(pair[1])) for pair in STRESS_ORDERS[order].split()]
