"""The only unit conversions. Inside the package everything is eV, Å, eV/Å, eV/Å^3 (tension positive, as in ASE)."""

from ase import units as _ase

from scalarpath.core.errors import ConfigError

ENERGY_TO_EV: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ha": _ase.Ha,
    "Ry": _ase.Ry,
    "kcal/mol": _ase.kcal / _ase.mol,
    "kJ/mol": _ase.kJ / _ase.mol,
}
LENGTH_TO_ANGSTROM: dict[str, float] = {"A": 1.0, "Ang": 1.0, "Bohr": _ase.Bohr, "nm": 10.0}
PRESSURE_TO_EV_A3: dict[str, float] = {
    "eV/A^3": 1.0,
    "GPa": _ase.GPa,
    "kbar": 0.1 * _ase.GPa,
    "bar": 1e-4 * _ase.GPa,
}

EV_TO_MEV = 1e3


def _lookup(table: dict[str, float], unit: str, quantity: str) -> float:
    if unit not in table:
        raise ConfigError(f"{quantity} unit '{unit}' is unknown; use one of: {', '.join(table)}.")
    return table[unit]


def energy_factor(unit: str) -> float:
    """Factor from ``unit`` to eV."""
    return _lookup(ENERGY_TO_EV, unit, "energy")


def force_factor(unit: str) -> float:
    """Factor from ``unit``, written energy/length (for example ``kcal/mol/A`` or ``Ha/Bohr``), to eV/Å."""
    energy, _, length = unit.rpartition("/")
    if energy not in ENERGY_TO_EV or length not in LENGTH_TO_ANGSTROM:
        raise ConfigError(
            f"force unit '{unit}' is unknown; write energy/length with one of {', '.join(ENERGY_TO_EV)} "
            f"and one of {', '.join(LENGTH_TO_ANGSTROM)}."
        )
    return ENERGY_TO_EV[energy] / LENGTH_TO_ANGSTROM[length]


def stress_factor(unit: str) -> float:
    """Factor from ``unit`` to eV/Å^3."""
    return _lookup(PRESSURE_TO_EV_A3, unit, "stress")
