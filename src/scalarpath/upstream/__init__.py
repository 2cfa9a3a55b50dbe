"""Import of models trained with mace-torch, nequip and nequip-allegro."""

from scalarpath.upstream.importers import from_upstream

__all__ = ["from_upstream"]
