"""Which file holds a potential. No torch is imported here, so that a wrong path is reported at once."""

from __future__ import annotations

from pathlib import Path

from scalarpath.core.errors import CheckpointError

GIVE = "give a checkpoint, a run directory, or a file that export.py has written"


def file_of(path: str | Path) -> Path:
    """The file that holds the potential: ``path``, or the best checkpoint where it is a run directory."""
    file = Path(path)
    return file / "checkpoints" / "best.ckpt" if file.is_dir() else file


def require_file(file: Path) -> None:
    """Raise CheckpointError where there is no such file."""
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; {GIVE}.")
