"""Labels of a frame: where they are found, in which units and sign, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.core.units import energy_factor, force_factor, stress_factor
from scalarpath.data.reading import Frame, available_keys

AUTOMATIC_KEYS: dict[str, tuple[str, ...]] = {
    "energy": ("energy", "REF_energy", "ref_energy", "DFT_energy", "dft_energy"),
    "forces": ("forces", "REF_forces", "ref_forces", "DFT_forces", "dft_forces", "force", "DFT_force", "dft_force"),
    "stress": ("stress", "REF_stress", "ref_stress", "DFT_stress", "dft_stress"),
    "virial": ("virial", "virials", "REF_virial", "ref_virial", "DFT_virial", "dft_virial"),
}
STRESS_SIGNS = {"tension_positive": 1.0, "compression_positive": -1.0}
ASYMMETRY = 0.05  # largest |s_ij - s_ji| relative to max |s| that is still taken for noise


@dataclass(frozen=True)
class LabelSpec:
    """Where labels are and in which units. A key of None means automatic (AUTOMATIC_KEYS, never a guess among several).

    ``virial_key`` is in ``energy_unit`` with the usual sign, virial = -V stress (stress tension positive). Raises
    ConfigError for an unknown unit or sign, or when both stress and virial are named.
    """

    energy_key: str | None = None
    forces_key: str | None = None
    stress_key: str | None = None
    virial_key: str | None = None
    energy_unit: str = "eV"
    forces_unit: str = "eV/A"
    stress_unit: str = "eV/A^3"
    stress_sign: str = "tension_positive"

    def __post_init__(self) -> None:
        energy_factor(self.energy_unit), force_factor(self.forces_unit), stress_factor(self.stress_unit)
        if self.stress_sign not in STRESS_SIGNS:
            raise ConfigError(
                f"data.stress_sign='{self.stress_sign}' is unknown; use one of: {', '.join(STRESS_SIGNS)}."
            )
        if self.stress_key and self.virial_key:
            raise ConfigError("data.stress_key and data.virial_key are both set; keep one, stress follows from either.")


class LabelKeys(NamedTuple):
    """The key under which each property is read (None: the data set does not carry it)."""

    energy: str | None
    forces: str | None
    stress: str | None
    virial: str | None


class Labels(NamedTuple):
    """Labels of one frame of N atoms: energy (eV), forces [N, 3] (eV/Å), stress [3, 3] (eV/Å^3); missing is NaN.

    ``dropped_stress`` tells that the frame has a stress but is not periodic in all directions, so it means nothing.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    dropped_stress: bool = False

    def has(self, name: str) -> bool:
        """Whether the frame carries the property ``name``."""
        return bool(np.isfinite(getattr(self, name)).all())


class FrameLabels(Sequence[Labels]):
    """Labels of ``frames``, extracted anew whenever they are asked for (see ``extract_labels``)."""

    def __init__(
        self, frames: Sequence[Frame], keys: LabelKeys, spec: LabelSpec, required: frozenset[str] = frozenset()
    ) -> None:
        self._frames, self._rest = frames, (keys, spec, required)

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> Labels: ...

    @overload
    def __getitem__(self, index: slice) -> list[Labels]: ...

    def __getitem__(self, index: int | slice) -> Labels | list[Labels]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        return extract_labels(self._frames[index], *self._rest)


def find_keys(frames: Sequence[Frame], spec: LabelSpec) -> LabelKeys:
    """Decide, once for the whole data set, under which key each property is read.

    Raises DataError if a key that was given is carried by no frame, or if several keys could be meant.
    """
    present = available_keys(frames)
    found = {name: _find_key(name, getattr(spec, f"{name}_key"), present, frames[0].file) for name in AUTOMATIC_KEYS}
    if found["stress"] and found["virial"]:
        if not (spec.stress_key or spec.virial_key):
            raise DataError(
                f"{frames[0].file}: both '{found['stress']}' and '{found['virial']}' could be the stress label; "
                "set data.stress_key or data.virial_key."
            )
        found["virial" if spec.stress_key else "stress"] = None
    return LabelKeys(**found)


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


def extract_labels(frame: Frame, keys: LabelKeys, spec: LabelSpec, required: frozenset[str] = frozenset()) -> Labels:
    """Labels of one frame in eV, eV/Å, eV/Å^3 (tension positive); a label that is absent is NaN.

    Raises DataError naming the frame if a label is NaN, is not a number, or has the wrong shape, or if the loss weighs
    stress (``"stress" in required``) and the frame carries one without being periodic in all directions.
    """
    n_atoms = len(frame.atoms)
    energy = _value(frame, keys.energy, "energy", ((), (1,)))
    forces = _value(frame, keys.forces, "forces", ((n_atoms, 3),))
    shapes = ((6,), (9,), (3, 3))
    stress = _value(frame, keys.stress, "stress", shapes)
    virial = _value(frame, keys.virial, "virial", shapes)
    has_stress, periodic = stress is not None or virial is not None, bool(np.all(frame.atoms.pbc))
    if has_stress and not periodic and "stress" in required:
        raise DataError(
            f"{frame.where}: the loss weighs stress but the frame is not periodic in all directions "
            f"(pbc={np.asarray(frame.atoms.pbc).tolist()}), where stress has no meaning; remove its stress, "
            "set pbc, or give stress no weight."
        )
    full_stress = np.full((3, 3), np.nan)
    if stress is not None and periodic:
        full_stress = _tensor(stress, frame) * stress_factor(spec.stress_unit) * STRESS_SIGNS[spec.stress_sign]
    elif virial is not None and periodic:
        full_stress = -_tensor(virial, frame) * energy_factor(spec.energy_unit) / cell_volume(frame)
    return Labels(
        energy=float("nan") if energy is None else float(energy.reshape(())) * energy_factor(spec.energy_unit),
        forces=np.full((n_atoms, 3), np.nan) if forces is None else forces * force_factor(spec.forces_unit),
        stress=full_stress,
        dropped_stress=has_stress and not periodic,
    )


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
    if not np.isfinite(value).all():
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


def _tensor(value: np.ndarray, frame: Frame) -> np.ndarray:
    """Symmetric 3x3 tensor from Voigt order (xx, yy, zz, yz, xz, xy), nine numbers or a matrix."""
    tensor = voigt_6_to_full_3x3_stress(value) if value.shape == (6,) else value.reshape(3, 3)
    if np.abs(tensor - tensor.T).max() > ASYMMETRY * np.abs(tensor).max():
        raise DataError(f"{frame.where}: the stress or virial is not symmetric; check the order of its nine numbers.")
    return 0.5 * (tensor + tensor.T)
