"""Potentials in use: calculators for ASE and for batches of structures."""

from scalarpath.deploy.calculator import ScalarPathCalculator
from scalarpath.deploy.committee import Committee, CommitteeCalculator, spread

__all__ = ["Committee", "CommitteeCalculator", "ScalarPathCalculator", "spread"]
