"""MD17 and revised MD17: molecular dynamics of small molecules, from local files or downloaded on request.

rMD17: A. S. Christensen, O. A. von Lilienfeld, Mach. Learn.: Sci. Technol. 1 (2020) 045018. MD17: S. Chmiela et al.,
Sci. Adv. 3 (2017) e1603015. The npz files hold kcal/mol and kcal/mol/Å and are converted to eV and eV/Å on reading.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.core.units import ENERGY_TO_EV, FORCE_TO_EV_A
from scalarpath.data.config import DataConfig
from scalarpath.data.reading import Frame, parse_index, read_frames
from scalarpath.data.sources import SourceFrames

logger = logging.getLogger(__name__)

# molecule -> (name in torch_geometric.datasets.MD17, atoms, frames of the original MD17)
MOLECULES: dict[str, tuple[str, int, int]] = {
    "aspirin": ("aspirin", 21, 211_762),
    "azobenzene": ("azobenzene", 24, 99_999),
    "benzene": ("benzene", 12, 627_983),
    "ethanol": ("ethanol", 9, 555_092),
    "malonaldehyde": ("malonaldehyde", 9, 993_237),
    "naphthalene": ("naphthalene", 18, 326_250),
    "paracetamol": ("paracetamol", 20, 106_490),
    "salicylic": ("salicylic acid", 16, 320_231),
    "toluene": ("toluene", 15, 442_790),
    "uracil": ("uracil", 12, 133_770),
}
RMD17_FRAMES = 100_000
BYTES_PER_ATOM = 48  # positions and forces in float64
NPZ_KEYS = {
    "rmd17": ("nuclear_charges", "coords", "energies", "forces"),
    "md17": ("z", "R", "E", "F"),
}


def load_rmd17(config: DataConfig) -> SourceFrames:
    """Official train and test frames of split ``fold`` (1-5) of a molecule.

    ``root`` may hold ``<molecule>/splitNN_train.extxyz[.xz]`` files, or the npz archive as torch-geometric unpacks it.
    """
    molecule, root = _molecule(config), _root(config)
    texts = {}
    for part in ("train", "test"):
        stem = root / molecule / f"split{config.fold:02d}_{part}.extxyz"
        texts[part] = next((p for p in (stem, stem.with_suffix(".extxyz.xz")) if p.is_file()), None)
    if texts["train"] or texts["test"]:
        for part, path in texts.items():
            if path is None:
                raise DataError(
                    f"{root / molecule}: split{config.fold:02d}_{part}.extxyz[.xz] is missing; change data.fold."
                )
        train, test = (read_frames(path) for path in texts.values() if path is not None)
        return SourceFrames(train, test=test)
    archive = _find_npz(root, f"rmd17_{molecule}.npz")
    if archive is None:
        archive = _fetch(config, molecule, root, revised=True)
    train, test = (_npz_frames(archive, "rmd17", _official(archive, part, config.fold)) for part in texts)
    return SourceFrames(train, test=test)


def load_md17(config: DataConfig) -> SourceFrames:
    """Frames ``index`` of the original trajectory of a molecule, in time order."""
    molecule, root = _molecule(config), _root(config)
    from torch_geometric.datasets import MD17

    archive = _find_npz(root, MD17.file_names[MOLECULES[molecule][0]])
    if archive is None:
        archive = _fetch(config, molecule, root, revised=False)
    return SourceFrames(_npz_frames(archive, "md17", config.index))


def _molecule(config: DataConfig) -> str:
    if config.molecule not in MOLECULES:
        raise ConfigError(f"data.molecule='{config.molecule}' is unknown; use one of: {', '.join(MOLECULES)}.")
    return config.molecule


def _root(config: DataConfig) -> Path:
    if config.root is None:
        return config.cache_root / config.source
    root = Path(config.root).expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: data.root is not a folder; check the path.")
    return root


def _find_npz(root: Path, name: str) -> Path | None:
    """The archive in ``root`` itself or where torch-geometric or the published tar file puts it."""
    return min(root.rglob(name), default=None, key=lambda path: len(path.parts))


def _fetch(config: DataConfig, molecule: str, root: Path, *, revised: bool) -> Path:
    """Download through torch-geometric, but only when ``data.download=true`` says so."""
    geometric_name, n_atoms, n_frames = MOLECULES[molecule]
    from torch_geometric.datasets import MD17

    if revised:
        total = RMD17_FRAMES * BYTES_PER_ATOM * sum(atoms for _, atoms, _ in MOLECULES.values())
        what, address = "the archive of all ten rMD17 molecules", MD17.revised_url
    else:
        total = n_frames * BYTES_PER_ATOM * n_atoms
        what, address = f"the MD17 trajectory of {molecule}", f"{MD17.gdml_url}/{MD17.file_names[geometric_name]}"
    if not config.download:
        raise DataError(
            f"{root}: no file of {molecule} found; set data.root to your copy, or data.download=true to fetch {what} "
            f"from {address} (about {total / 1e9:.2f} GB unpacked)."
        )
    logger.warning("Downloading %s from %s to %s (about %.2f GB unpacked).", what, address, root, total / 1e9)
    try:
        # only the raw file is used: torch-geometric rounds energies to float32, 1 meV at aspirin's -17,600 eV
        MD17(str(root), name=f"revised {geometric_name}" if revised else geometric_name)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{address}: download failed ({reason}); fetch it yourself and set data.root.") from error
    name = f"rmd17_{molecule}.npz" if revised else MD17.file_names[geometric_name]
    archive = _find_npz(root, name)
    if archive is None:
        raise DataError(f"{root}: the download brought no {name}; fetch it yourself and set data.root.")
    _check_hash(archive)
    return archive


def _check_hash(archive: Path) -> None:
    """Write the SHA-256 of a fresh download beside it; a later change of the file is then an error."""
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    record = archive.with_suffix(".sha256")
    if not record.exists():
        record.write_text(digest + "\n")
    elif record.read_text().strip() != digest:
        raise DataError(f"{archive}: its SHA-256 differs from {record.name}; delete both and download again.")


def _official(archive: Path, part: str, fold: int) -> np.ndarray:
    name = f"index_{part}_{fold:02d}.csv"
    folders = (archive.parent, archive.parent / "splits", archive.parent.parent / "splits")
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise DataError(
            f"{archive}: the official split {name} is not beside it; unpack 'splits' too or change data.fold."
        )
    try:
        return np.loadtxt(path, dtype=np.int64).reshape(-1)
    except ValueError as error:
        raise DataError(f"{path}: is not a column of frame numbers; unpack it again.") from error


def _npz_frames(archive: Path, kind: str, wanted: np.ndarray | str) -> Iterator[Frame]:
    try:
        if archive.with_suffix(".sha256").exists():
            _check_hash(archive)
        with np.load(archive) as arrays:
            z, positions, energies, forces = (arrays[key] for key in NPZ_KEYS[kind])
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{archive}: is not a {kind} archive ({reason}); download it again.") from error
    energies = energies.reshape(-1)
    if positions.shape != forces.shape or positions.shape != (len(energies), len(z), 3):
        raise DataError(f"{archive}: its arrays have shapes that do not fit each other; download it again.")
    numbers = np.arange(len(energies))[parse_index(wanted)] if isinstance(wanted, str) else wanted
    if numbers.size == 0 or numbers.max() >= len(energies):
        raise DataError(f"{archive}: has {len(energies)} frames, not those asked for; change data.index or data.fold.")
    to_ev, to_ev_angstrom = ENERGY_TO_EV["kcal/mol"], FORCE_TO_EV_A["kcal/mol/A"]
    for number in numbers.tolist():
        atoms = Atoms(z.astype(int), positions[number])
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(energies[number]) * to_ev, forces=np.float64(forces[number]) * to_ev_angstrom
        )
        yield Frame(atoms, str(archive), number)
