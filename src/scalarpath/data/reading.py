"""Reading frames with ASE, with errors that name the file and the frame."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import ase.io
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io.formats import UnknownFileTypeError, filetype
from ase.stress import voigt_6_to_full_3x3_stress
from ase.utils import string2index

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.core.metrics import KIND
from scalarpath.core.periodicity import require_periodicity
from scalarpath.data import cp2k, databases, deepmd
from scalarpath.data.convergence import Steps, steps
from scalarpath.data.extxyz import atoms_of, frame_texts

T = TypeVar("T")

DECOMPRESS: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
NEEDED = {"vasp-xml": ("<kpoints", "<atominfo", "<structure")}  # by ASE's readers, which fail in other words
ISOTOPES = ("D", "T")  # symbols that some codes write for hydrogen


@dataclass(frozen=True)
class Frame:
    """One structure and the place it was read from (``number`` counts the frames of the file from 0)."""

    atoms: Atoms
    file: str
    number: int

    @property
    def where(self) -> str:
        """File and frame, as they appear in every message."""
        return f"{self.file}, frame {self.number}"

    @property
    def kind(self) -> str | None:
        """Its config_type."""
        kind = self.atoms.info.get(KIND)
        return None if kind is None else str(kind)

    def require_known(self, known: Collection[int], *, charged: bool) -> None:
        """Raise DataError for a structure that a potential of the atomic numbers ``known`` cannot take.

        charged: whether it has charges, which no structure that is periodic in part can have.
        """
        if unknown := sorted(set(self.atoms.numbers.tolist()) - set(known)):
            raise DataError(
                f"{self.where}: this potential does not know {chemical_symbols[unknown[0]]}; remove such frames."
            )
        if charged:
            require_periodicity(self.atoms.pbc, self.where)


def available_keys(frames: Iterable[Frame]) -> list[str]:
    """Every label-like key that the frames carry in info, arrays or their calculator, sorted."""
    keys: set[str] = set()
    for frame in frames:
        keys.update(frame.atoms.info, frame.atoms.arrays, getattr(frame.atoms.calc, "results", {}))
    return sorted(keys - {"numbers", "positions"})


def read_frames(path: str | Path, index: str | int = ":", notes: list[str] | None = None) -> Iterator[Frame]:
    """Frames of ``path`` (anything ``ase.io`` reads, packed or not; systems of DeePMD, pairs of CP2K), one by one.

    ``index`` is an ASE slice such as ``:``, ``::10``, ``-1``; ``path@0:100`` in the path overrides it. ``notes``
    collects what is worth knowing, such as frames that are left out because they have not converged. Raises DataError
    naming the file, and the frame where reading stopped, if a file is missing, empty, cut short or malformed.
    """
    name, at, inline = str(path).rpartition("@")
    if at and not Path(path).exists():
        path, index = name, inline
    path, notes = Path(path), [] if notes is None else notes
    wanted = parse_index(index)
    if not path.is_file() and not deepmd.is_system(path):
        raise DataError(f"{path}: no such file; check the path (it is relative to {Path.cwd()}).")
    count = 0
    for count, frame in enumerate(_unpacked(path, wanted, notes), start=1):  # noqa: B007 (read after the loop)
        yield frame
    if not count:
        if wanted == slice(None):
            raise DataError(f"{path} holds no frame that ASE can read; is it a file of structures?")
        raise DataError(f"{path}: index '{index}' selects no frame; choose another slice or repair the file.")


def parse_index(index: str | int) -> slice:
    """The slice that ``index`` means; raises ConfigError if it is none."""
    try:
        parsed = index if isinstance(index, int) else string2index(index)
    except ValueError as error:
        raise ConfigError(f"frame index '{index}' is not a slice; write for example ':', '0:100' or '::10'.") from error
    if isinstance(parsed, int):
        return slice(parsed, parsed + 1 or None)
    if not isinstance(parsed, slice) or parsed.step == 0:
        raise ConfigError(f"frame index '{index}' is not a slice; write for example ':', '0:100' or '::10'.")
    return parsed


def _unpacked(path: Path, wanted: slice, notes: list[str]) -> Iterator[Frame]:
    if path.suffix not in DECOMPRESS:
        yield from _read(path, wanted, str(path), notes)
        return
    # ASE seeks in the file, which costs a new decompression each time: a minute for a thousand frames
    with tempfile.TemporaryDirectory() as folder:
        yield from _read(_decompress(path, Path(folder)), wanted, str(path), notes)


def _decompress(path: Path, folder: Path) -> Path:
    plain = folder / path.stem
    try:
        with DECOMPRESS[path.suffix](path, "rb") as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: cannot be decompressed ({error}); fetch or write the file again.") from error
    return plain


def _read(path: Path, wanted: slice, name: str, notes: list[str]) -> Iterator[Frame]:
    """Frames of ``path``, which errors call ``name``."""
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{name}: the file is empty; write the frames again.")
    kind = _kind(path)
    if kind == "cp2k" and str(path) != name:
        raise DataError(f"{name}: CP2K's files are read together, and only unpacked; unpack both of them.")
    found = steps(path, kind)
    left_out, read = [], 0
    for number, make in _selected(_contents(path, name, kind, notes, found), wanted):
        if found is not None and number in found.unconverged:
            left_out.append(number)
            continue
        try:
            atoms = make()
        except DataError:
            raise
        except Exception as error:  # ASE's readers raise anything from KeyError to RuntimeError on malformed input
            reason = _reason(error, path, kind)
            raise DataError(f"{name}, frame {number}: {reason}; repair or remove this frame.") from error
        if len(atoms) == 0:
            raise DataError(f"{name}, frame {number}: the frame has no atoms; remove it.")
        strange = [z for z in atoms.numbers.tolist() if not 0 < z < len(chemical_symbols)]
        if strange:
            what = "ghost atom X" if strange[0] == 0 else f"atomic number {strange[0]}"
            raise DataError(f"{name}, frame {number}: {what} is no element; remove such atoms from this frame.")
        if _is_partly_occupied(atoms):
            raise DataError(
                f"{name}, frame {number}: sites are partly occupied, which would be read as whole atoms; write an "
                "ordered structure, for example a supercell in which every site holds one atom or none."
            )
        read += 1
        yield Frame(atoms, name, number)
    said = []
    if left_out:
        s = "" if len(left_out) == 1 else "s"
        said.append(f"the electronic loop did not converge in {len(left_out)} step{s} (frame{s} {_listed(left_out)})")
    if found is not None and found.cut_off:
        said.append(f"the job was cut off in step {found.complete}")
    if said and not read:
        raise DataError(f"{name}: {' and '.join(said)}, so no frame is left; let the calculation converge.")
    if said:
        notes.append(f"{name}: {' and '.join(said)}; left out.")


def _is_partly_occupied(atoms: Atoms) -> bool:
    """Whether any site holds less than one atom of an element, as CIF says it; others may mean anything by the key."""
    sites = atoms.info.get("occupancy")
    shares = [site for site in sites.values() if isinstance(site, Mapping)] if isinstance(sites, Mapping) else []
    return any(isinstance(share, int | float) and share < 1 for site in shares for share in site.values())


def _listed(numbers: Sequence[int], shown: int = 10) -> str:
    """The first of some numbers, and how many more there are."""
    more = f" and {len(numbers) - shown} more" if len(numbers) > shown else ""
    return ", ".join(map(str, numbers[:shown])) + more


def _contents(
    path: Path, name: str, kind: str | None, notes: list[str], found: Steps | None
) -> Iterator[Callable[[], Atoms]]:
    """For every frame of the file a function that makes it."""
    if kind == "extxyz":
        for text in frame_texts(path, name):
            yield partial(atoms_of, text)
        return
    images: Iterator[Atoms]
    if kind == "deepmd":
        images = deepmd.frames(path)
    elif kind == "cp2k":
        images = cp2k.frames(path)
        notes.append(cp2k.note(path))
    elif kind in databases.FORMATS:
        images = databases.rows(path, name)
        notes += databases.notes(path, name)
    else:
        # a file name with '@' would be split again by ASE
        images = islice(ase.io.iread(path, ":", do_not_split_by_at_sign=True), found.complete if found else None)
    while True:
        try:
            atoms = next(images, None)
        except UnknownFileTypeError as error:
            raise DataError(f"{name}: ASE does not know this file type; use for example extended XYZ.") from error
        except Exception as error:  # raised where this frame is made, with its number
            yield partial(_raise, error)
            return
        if atoms is None:
            return
        yield partial(_with_whole_stress, atoms)


def _kind(path: Path) -> str | None:
    """The name of the file's format, as ASE calls those that it knows; None for an unknown one."""
    if path.is_dir():
        return "deepmd"
    try:
        if cp2k.is_positions(path):
            return "cp2k"
        return str(filetype(str(path)))
    except UnknownFileTypeError:
        return None


def _raise(error: Exception) -> Atoms:
    raise error


def _with_whole_stress(atoms: Atoms) -> Atoms:
    """``atoms``, with a stress of nine numbers: the six of ASE's readers are in ASE's order, whatever others write."""
    results = getattr(atoms.calc, "results", {})
    if "stress" in results and np.shape(results["stress"]) == (6,):
        results["stress"] = voigt_6_to_full_3x3_stress(results["stress"])
    return atoms


def _selected(items: Iterator[T], wanted: slice) -> Iterator[tuple[int, T]]:
    """The wanted items with their numbers, one by one; all are read first where counting starts at the end."""
    bounds = (wanted.start, wanted.stop, wanted.step)
    if any(bound is not None and bound < 0 for bound in bounds):
        every = list(items)
        yield from ((number, every[number]) for number in range(len(every))[wanted])
    else:
        yield from islice(enumerate(items), wanted.start, wanted.stop, wanted.step)


def _reason(error: Exception, path: Path, kind: str | None) -> str:
    """Why a frame cannot be read, in a few words."""
    for section in NEEDED.get(kind or "", ()):
        if section not in path.read_text(encoding="utf-8", errors="replace"):
            return f"the file has no {section}>, without which ASE cannot read it"
    name = str(error.args[0]) if isinstance(error, KeyError) else ""
    if name in ISOTOPES:
        return f"'{name}' is an isotope, which is the same element to a potential: write H"
    if re.fullmatch(r"[A-Z]\w{0,3}", name):  # ASE has looked it up
        return f"'{name}' is no element"
    return f"cut short or malformed ({' '.join(f'{type(error).__name__}: {error}'.split())[:160]})"
