"""Which file holds a potential. No torch is imported here, so that a wrong path is reported at once."""

from __future__ import annotations

import zipfile
from pathlib import Path

from scalarpath.core.errors import CheckpointError

GIVE = "give a checkpoint, a run directory, or a file that export.py has written"


def file_of(path: str | Path) -> Path:
    """The file that holds the potential: ``path``, or the best checkpoint where it is a run directory."""
    file = Path(path)
    return file / "checkpoints" / "best.ckpt" if file.is_dir() else file


def require_whole(file: Path) -> None:
    """Raise CheckpointError where there is no such file, or where it was damaged after it was written."""
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; {GIVE}.")
    try:
        with zipfile.ZipFile(file) as archive:  # torch stores a checksum with every record and never looks at it
            damaged = archive.testzip()
    except Exception as error:
        raise no_checkpoint(file, error) from error
    if damaged is not None:
        raise CheckpointError(f"{file} is damaged: {damaged} does not fit its checksum; copy the file again.")


def no_checkpoint(file: Path, error: Exception) -> CheckpointError:
    """What to raise for a file that cannot be read."""
    return CheckpointError(
        f"{file} is damaged or no checkpoint of scalarpath ({type(error).__name__}); copy the file again, or {GIVE}."
    )
