"""Potentials in use: ASE calculator, import of upstream models."""

from scalarpath.deploy.calculator import ScalarPathCalculator
from scalarpath.deploy.upstream import from_upstream

__all__ = ["ScalarPathCalculator", "from_upstream"]
