"""Which files a setting such as ``data.path`` means: one, a list, a pattern such as ``cu*.extxyz``, or a folder."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ase.io.formats import UnknownFileTypeError, filetype

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data import cp2k, deepmd
from scalarpath.data.reading import DECOMPRESS

LABELLED = {
    "abinit-out", "aims-output", "castep-castep", "db", "espresso-out", "extxyz", "gamess-us-out", "gaussian-out",
    "gpaw-out", "gpw", "nwchem-out", "octopus-out", "orca-output", "qbox", "traj", "vasp-out", "vasp-xml",
}  # fmt: skip
"""Formats of ASE that are taken from a folder: those that can carry labels. Others are read where they are named."""
STRUCTURES = {
    "castep-cell", "cif", "espresso-in", "gen", "mol", "proteindatabank", "res", "sdf", "vasp", "vasp-xdatcar", "xsf",
}  # fmt: skip
"""Formats that are taken from a folder where no labels are needed and no file can carry any: those of structures that
ASE does not take other texts for."""
SHOWN = 5  # names of files in a note


class Source(NamedTuple):
    """A file, or a folder that is read like one, with the slice of its frames that was asked for, if any."""

    path: Path
    wanted: str | None


def sources(
    paths: str | Sequence[str], notes: list[str], setting: str, base: Path = Path(), *, labelled: bool = True
) -> list[Source]:
    """The files that ``paths`` means, in its order; patterns and folders are sorted, numbers in names by size.

    Names of files that exist are taken as they are, whatever letters they have. A slice may follow: ``a.extxyz@0:100``.
    ``notes`` says which files were found; ``labelled``: whether those of a folder must be able to carry labels. Raises
    DataError where there are none, ConfigError for a file named twice.
    """
    found = [
        source
        for path in ([paths] if isinstance(paths, str) else paths)
        for source in _sources(base / Path(path).expanduser(), notes, labelled)
    ]
    twice = [source for number, source in enumerate(found) if source in found[:number]]
    if twice:
        raise ConfigError(f"{setting} names {twice[0].path} twice; name every file once.")
    return found


def _sources(path: Path, notes: list[str], labelled: bool) -> list[Source]:
    name, at, index = str(path).rpartition("@")
    if path.exists() or not at:
        return [Source(file, None) for file in _files(path, notes, labelled)]
    return [Source(file, index) for file in _files(Path(name), notes, labelled)]


def _files(path: Path, notes: list[str], labelled: bool) -> list[Path]:
    if path.is_dir():
        return _in_folder(path, notes, labelled)
    if path.exists():
        return [path]
    if glob.has_magic(str(path)):
        matches = sorted(map(Path, glob.glob(str(path))), key=_natural)
        if not matches:
            raise DataError(f"{path}: no file matches this pattern; check it (it is relative to {Path.cwd()}).")
        _note(path, matches, [], notes)
        return [file for match in matches for file in _files(match, notes, labelled)]
    raise DataError(f"{path}: no such file; check the path (it is relative to {Path.cwd()}).")


def _in_folder(folder: Path, notes: list[str], labelled: bool) -> list[Path]:
    """The systems of DeePMD in a folder, at any depth, else the files in it that can carry labels.

    Where there are none and ``labelled`` is false, those of structures.
    """
    if deepmd.is_system(folder):
        return [folder]
    systems = sorted({file.parent for file in folder.rglob(deepmd.TYPES)}, key=_natural)
    if systems:
        _note(folder, systems, [], notes)
        return systems
    files = sorted((f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")), key=_natural)
    taken = [file for file in files if _format(file) in LABELLED and not cp2k.is_forces(file)]
    if not taken and not labelled:
        taken = [file for file in files if _format(file) in STRUCTURES]
    if not taken:
        what = "carry labelled frames" if labelled else "hold structures"
        raise DataError(
            f"{folder}: none of the {len(files)} files in this folder is known to {what}; name a file "
            f"or a pattern such as '{folder}/*/OUTCAR'."
        )
    vasp = [next((f for f in taken if _format(f) == kind), None) for kind in ("vasp-out", "vasp-xml")]
    if vasp[0] and vasp[1]:
        raise DataError(
            f"{folder}: {vasp[0].name} and {vasp[1].name} may hold the same frames; name the one to read, for example "
            f"data.path={vasp[1]}."
        )
    _note(folder, taken, [file for file in files if file not in taken], notes)
    return taken


def _note(where: Path, taken: list[Path], left: list[Path], notes: list[str]) -> None:
    text = f"{where}: {_listed(taken)} read"
    notes.append(f"{text}; not read: {_listed(left)}." if left else f"{text}.")


def _listed(files: list[Path]) -> str:
    alike = len({file.name for file in files}) < len(files)  # as vasprun.xml in a folder for every run
    names = ", ".join(str(file) if alike else file.name for file in files[:SHOWN])
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f"{len(files)} {'file' if len(files) == 1 else 'files'} ({names}{more})"


def _format(path: Path) -> str | None:
    """The name that ASE has for the format of a file; of a packed one as its name tells."""
    packed = path.suffix in DECOMPRESS
    try:
        return str(filetype(path.stem if packed else str(path), read=not packed))
    except (UnknownFileTypeError, OSError):
        return None


def _natural(path: Path) -> str:
    """Key by which run2 comes before run10."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(20), str(path))
