"""Optimizers for potentials: ``build_optimizer``."""

from scalarpath.optimizers.build import build_optimizer

__all__ = ["build_optimizer"]
