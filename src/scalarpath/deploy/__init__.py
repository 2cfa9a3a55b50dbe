"""Potentials in use: calculators for ASE and for batches of structures."""

from scalarpath.deploy.calculator import ScalarPathCalculator

__all__ = ["ScalarPathCalculator"]
