"""Potentials in use: calculators for ASE, committees, batches of structures, drivers of other programs."""

from scalarpath.deploy.calculator import ScalarPathCalculator
from scalarpath.deploy.committee import Committee, CommitteeCalculator, spread

__all__ = ["Committee", "CommitteeCalculator", "ScalarPathCalculator", "spread"]
