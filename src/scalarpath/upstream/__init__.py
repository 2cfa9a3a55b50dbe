"""Import of models trained with mace-torch, nequip and nequip-allegro."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalarpath.upstream.importers import from_upstream

__all__ = ["from_upstream"]


def __getattr__(name: str) -> Any:
    # it comes with torch, which takes seconds: a wrong setting of import.py is reported without
    if name == "from_upstream":
        from scalarpath.upstream.importers import from_upstream

        return from_upstream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
