"""Compiling the C++ sources of this folder, once per machine, and loading them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import torch

from scalarpath.core.resources import cache_root
from scalarpath.nn.cpu import structs

SOURCES = Path(__file__).parent
COMPILERS = ("c++", "g++", "clang++")
FLAGS = (
    "-O3", "-march=native", "-std=gnu++17", "-fopenmp", "-shared", "-fPIC", "-Wno-psabi", "-Wno-ignored-attributes",
)  # fmt: skip
SWITCH = "SCALARPATH_CPU_KERNELS"
CPU_INFO = Path("/proc/cpuinfo")
EDGES_PER_THREAD = 128  # at least; with fewer a second thread costs more than it takes over
TYPES = {torch.float32: "float32", torch.float64: "float64"}


def function(name: str, dtype: torch.dtype) -> ctypes._NamedFuncPointer:
    """A function of the library, for numbers of this type; only where ``library`` gave one."""
    loaded = library()
    assert loaded is not None
    return getattr(loaded, f"{name}_{TYPES[dtype]}")


def threads_for(edges: int) -> int:
    """Threads for a kernel that works edge by edge."""
    return max(1, min(torch.get_num_threads(), edges // EDGES_PER_THREAD))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None, after a warning, where there can be none.

    The environment variable SCALARPATH_CPU_KERNELS=0 leaves them out, CXX names the compiler, SCALARPATH_CACHE the
    folder in which they are kept (see ``cache_root``).
    """
    if os.environ.get(SWITCH) == "0":
        return None
    fix = "Install a C++ compiler (g++ or clang++ with OpenMP)"
    try:
        return ctypes.CDLL(str(_compiled()))
    except subprocess.CalledProcessError as error:
        first = next((line for line in error.stderr.splitlines() if "error" in line), f"exit status {error.returncode}")
        problem = f"compiled here ({error.cmd[0]}: {first.strip()})"
    except FolderError as error:
        problem, fix = f"kept anywhere ({error})", "Set SCALARPATH_CACHE to a folder of yours"
    except OSError as error:
        problem = f"compiled here ({error})"
    warnings.warn(
        f"the CPU kernels cannot be {problem}; steps take up to three times as long without them. "
        f"{fix}, or set {SWITCH}=0 to be rid of this warning.",
        stacklevel=2,
    )
    return None


class FolderError(OSError):
    """A folder in which compiled kernels cannot be kept."""


def _compiled() -> Path:
    """The shared library for this source, compiler and processor, compiled unless it is there already."""
    compiler = os.environ.get("CXX") or next((name for name in COMPILERS if shutil.which(name)), None)
    if compiler is None:
        raise FileNotFoundError(f"no C++ compiler found, tried {', '.join(COMPILERS)}")
    run = functools.partial(subprocess.run, capture_output=True, text=True, check=True)
    sources = sorted(SOURCES.glob("*.cpp"))
    for path in sources:  # the module of the same name describes the structs that the source reads
        importlib.import_module(f"{__package__}.{path.stem}")
    header = structs.declarations()
    parts = [header, *(path.read_text() for path in (*sources, *sorted(SOURCES.glob("*.h"))))]
    parts += [*FLAGS, run([compiler, "--version"]).stdout, platform.machine(), _instructions()]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    problems: list[str] = []
    for folder in (cache_root() / "kernels", Path(tempfile.gettempdir()) / f"scalarpath-kernels-{os.getuid()}"):
        path = folder / f"{key}.so"
        try:
            _make_private(folder)
            if not path.exists():
                with tempfile.TemporaryDirectory(dir=folder) as scratch:
                    note = f", since {problems[0]}; set SCALARPATH_CACHE to choose another folder" if problems else ""
                    print(
                        f"scalarpath: compiling its CPU kernels, once on this machine (some 20 s), to {folder}{note}",
                        file=sys.stderr, flush=True,
                    )  # fmt: skip
                    fresh = Path(scratch) / path.name
                    (Path(scratch) / "structs.h").write_text(header)
                    run([compiler, *FLAGS, f"-I{scratch}", "-o", str(fresh), *map(str, sources)])
                    fresh.replace(path)  # at once: other processes may compile the same
            return path
        except OSError as error:
            problems.append(f"{folder}: {error.strerror or error}")
    raise FolderError("; ".join(problems))


def _make_private(folder: Path) -> None:
    """Make the folder, unless it is there, for the user alone: what lies in it is run.

    Raises OSError for a folder that belongs to someone else, or to which others may write.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise FolderError("it is no folder that belongs to you alone")


def _instructions() -> str:
    """What the processor can do, since machines of different kinds may share a home directory."""
    lines = CPU_INFO.read_text().splitlines() if CPU_INFO.exists() else [platform.processor()]
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
