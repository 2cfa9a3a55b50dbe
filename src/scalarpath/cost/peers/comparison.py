"""One case: the same model in two processes, which must agree before they are timed."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from scalarpath.core.errors import UpstreamError
from scalarpath.cost.peers.cases import STEPS, Case, arrays, hyperparameters
from scalarpath.cost.peers.environments import SETTING
from scalarpath.cost.peers.worker import SCRIPTS, Worker
from scalarpath.cost.timing import WARM_UP_ROUNDS, paired_ratio

TOLERANCE = {"float32": 1e-4, "float64": 1e-9}  # largest difference over largest value, of energy, forces, stress
OWN = "scalarpath"
NATIVE_WORKER = SCRIPTS / "native_worker.py"
SEED = 0


def worker_script(kind: str) -> Path:
    """The script that answers for a kind of model in its peer's environment."""
    return SCRIPTS / f"{SETTING[kind]}_worker.py"


def compare_case(
    case: Case,
    frames: list[Atoms],
    python: str,
    rounds: int,
    advance: Callable[[], None] = lambda: None,
    scripts: tuple[Path, Path] | None = None,
) -> dict[str, Any]:
    """Ratios peer / scalarpath of the time of the steps of the case and of the memory of a training step, else None.

    ``python``: of the peer's environment; ``advance`` is called after every round; ``scripts``: workers of the peer and
    of scalarpath. Raises UpstreamError when a worker ends early, or when the two do not agree (see TOLERANCE).
    """
    peer_script, own_script = scripts or (worker_script(case.kind), NATIVE_WORKER)
    programs = {"peer": (python, peer_script), OWN: (sys.executable, own_script)}
    with tempfile.TemporaryDirectory() as folder:
        request = _request(case, frames, Path(folder))
        with _workers(case, programs, request, keep_freed_memory=True) as (workers, built):
            difference = agreement(workers, Path(folder), TOLERANCE[case.dtype])
            times = {kind: _interleave(workers, kind, rounds, advance) for kind in case.steps}
        memory = {}
        for name, program in programs.items() if "train" in times else ():  # fresh processes, one after the other
            with _workers(case, {name: program}, request) as (workers, _):
                memory[name] = workers[name].ask("memory")["memory"]
    return {
        "atoms": sum(len(atoms) for atoms in frames),
        "edges": built[OWN]["edges"],
        "difference": difference,
        **{kind: _summary(times[kind]) if kind in times else None for kind in STEPS},
        "memory": _memory(memory) if memory else None,
    }


def agreement(workers: Mapping[str, Worker], folder: Path, tolerance: float) -> dict[str, float]:
    """Largest relative difference of energy, forces and stress; raises UpstreamError beyond ``tolerance``."""
    predictions = {}
    for name, worker in workers.items():
        worker.ask("predict", output=str(folder / f"{name}.npz"))
        with np.load(folder / f"{name}.npz") as file:
            predictions[name] = dict(file)
    peer, own = predictions["peer"], predictions[OWN]
    if set(peer) != set(own):
        raise UpstreamError(f"the peer predicts {sorted(peer)} and scalarpath {sorted(own)}; nothing was timed.")
    out = {}
    for key, theirs in peer.items():
        out[key] = float(np.abs(own[key] - theirs).max() / np.abs(theirs).max())
        if not out[key] <= tolerance:
            raise UpstreamError(
                f"{key} of {workers['peer'].name} and scalarpath differ by {out[key]:.1e} of the largest value, which "
                f"is more than {tolerance:.0e}; nothing was timed, because it is not the same model."
            )
    return out


def _request(case: Case, frames: list[Atoms], folder: Path) -> dict[str, Any]:
    structures = arrays(frames)
    np.savez(folder / "structures.npz", **structures)  # type: ignore[arg-type]
    return {
        "kind": case.kind,
        "hyperparameters": hyperparameters(case, frames),
        "atomic_numbers": sorted(set(structures["numbers"].tolist())),
        "periodic": bool(structures["periodic"].all()),
        "dtype": case.dtype,
        "threads": case.threads,
        "device": case.device,
        "peer_mode": case.peer_mode,
        "compiled_native": case.mode == "both_compiled",
        "seed": SEED,
        "structures": str(folder / "structures.npz"),
        "weights": str(folder / "weights.npz"),
    }


@contextmanager
def _workers(
    case: Case,
    programs: Mapping[str, tuple[str, Path]],
    request: Mapping[str, Any],
    keep_freed_memory: bool = False,
) -> Iterator[tuple[dict[str, Worker], dict[str, dict[str, Any]]]]:
    """Workers of ``programs`` with their models built, in order: the peer writes the weights that scalarpath reads."""
    workers: dict[str, Worker] = {}
    try:
        built = {}
        for name, (python, script) in programs.items():
            who = OWN if name == OWN else case.kind
            workers[name] = Worker(who, python, script, case.threads, keep_freed_memory)
            built[name] = workers[name].ask("build", **request)
        edges = {name: reply["edges"] for name, reply in built.items()}
        if len(set(edges.values())) > 1:
            raise UpstreamError(f"the neighbour lists differ: {edges} edges; nothing was timed.")
        yield workers, built
    finally:
        for worker in workers.values():
            worker.close()


def _interleave(
    workers: Mapping[str, Worker], kind: str, rounds: int, advance: Callable[[], None]
) -> dict[str, list[float]]:
    """Seconds of every worker in every round, after warm-up; the order turns round from one round to the next."""
    times: dict[str, list[float]] = {name: [] for name in workers}
    for round_ in range(-WARM_UP_ROUNDS, rounds):
        for name in workers if round_ % 2 else reversed(list(workers)):
            seconds = workers[name].ask(kind)["seconds"]
            if round_ >= 0:
                times[name].append(seconds)
        if round_ >= 0:
            advance()
    return times


def _summary(times: Mapping[str, list[float]]) -> dict[str, float]:
    ratio = paired_ratio(times["peer"], times[OWN])
    return {
        "peer_step_s": statistics.median(times["peer"]),
        "scalarpath_step_s": statistics.median(times[OWN]),
        "ratio": ratio.median,
        "ratio_low": ratio.low,
        "ratio_high": ratio.high,
    }


def _memory(measured: Mapping[str, dict[str, float] | None]) -> dict[str, float] | None:
    """Memory that a training step adds (MB) and the ratio of both; None where it cannot be measured."""
    peer, own = measured["peer"], measured[OWN]
    if peer is None or own is None:
        return None
    out = {f"{name}_{key}": value for name, got in (("peer", peer), (OWN, own)) for key, value in got.items()}
    added = {name: out[f"{name}_peak_MB"] - out[f"{name}_before_MB"] for name in ("peer", OWN)}
    return {**out, "ratio": added["peer"] / added[OWN]}
