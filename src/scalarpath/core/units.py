"""The only unit conversions. Inside the package everything is eV, Å, eV/Å, eV/Å^3 (tension positive, as in ASE)."""

from ase import units as _ase

ENERGY_TO_EV: dict[str, float] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ha": _ase.Ha,
    "Ry": _ase.Ry,
    "kcal/mol": _ase.kcal / _ase.mol,
    "kJ/mol": _ase.kJ / _ase.mol,
}
LENGTH_TO_A: dict[str, float] = {"A": 1.0, "Ang": 1.0, "Bohr": _ase.Bohr, "nm": 10.0}
FORCE_TO_EV_A: dict[str, float] = {
    f"{energy}/{length}": ENERGY_TO_EV[energy] / LENGTH_TO_A[length]
    for energy in ENERGY_TO_EV
    for length in LENGTH_TO_A
}
STRESS_TO_EV_A3: dict[str, float] = {
    "eV/A^3": 1.0,
    "GPa": _ase.GPa,
    "kbar": 0.1 * _ase.GPa,
    "bar": 1e-4 * _ase.GPa,
    "Ha/Bohr^3": _ase.Ha / _ase.Bohr**3,
    "Ry/Bohr^3": _ase.Ry / _ase.Bohr**3,
}
STRESS_ORDERS: dict[str, str] = {
    "ase": "xx yy zz yz xz xy",
    "vasp": "xx yy zz xy yz zx",
    "lammps": "xx yy zz xy xz yz",
}
"""How six numbers of a symmetric tensor are written."""
STRESS_SIGNS: dict[str, float] = {"tension_positive": 1.0, "compression_positive": -1.0}

EV_TO_MEV = 1e3
