"""The worker's side of the comparison: one JSON line in, one JSON line out; every step is timed here.

Imports nothing but torch and numpy, because it runs in the environment of every peer. Requests: ``build`` (see the
worker scripts), ``predict`` (writes energy, forces and stress to ``output``), ``inference``, ``train``, ``memory``.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

PROCESS = Path("/proc/self")
MEGABYTE = 1024.0  # of the kB that Linux reports


class Model(Protocol):
    """What a worker script gives to ``serve``; ``kind`` is inference or train."""

    edges: int
    device: torch.device

    def predict(self, kind: str) -> dict[str, Tensor]:
        """Energy [G], forces [N, 3] and, where periodic, stress [G, 3, 3]; differentiable for kind train."""

    def module(self, kind: str) -> torch.nn.Module:
        """The module that ``predict`` calls."""


class Steps:
    """The two steps, the same for every package."""

    def __init__(self, model: Model):
        self.model = model
        # also for the compiled inference of nequip, which has a module of its own
        self.optimiser = torch.optim.AdamW(model.module("train").parameters(), lr=0.0, amsgrad=True, fused=True)
        self.kind = ""

    def run(self, kind: str) -> float:
        """Seconds of the second of two steps; a change of mode beforehand is not counted.

        The first follows a step of the other process, whose data fills the caches and whose idle threads still spin.
        With one thread, those that the processor worked on it: what else the machine does then counts less. On a GPU,
        those until it has done its work.
        """
        step, gpu = self._step(kind), self.model.device.type == "cuda"
        clock = time.process_time if torch.get_num_threads() == 1 and not gpu else time.perf_counter
        step()
        self._wait()
        start = clock()
        step()
        self._wait()
        return clock() - start

    def _wait(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)

    def predict(self) -> dict[str, np.ndarray]:
        """Predictions of the inference step."""
        self._step("inference")()
        return {key: value.detach().double().cpu().numpy() for key, value in self.model.predict("inference").items()}

    def memory(self) -> dict[str, float] | None:
        """Memory (MB) before a training step and its peak during one, after a first one: resident, or of the GPU.

        The high-water mark is reset in between: building the model may have needed more than the step. None off Linux.
        """
        self._step("train")()
        gc.collect()
        if self.model.device.type == "cuda":
            self._wait()
            torch.cuda.reset_peak_memory_stats(self.model.device)
            held = torch.cuda.memory_allocated(self.model.device)
            self._step("train")()
            self._wait()
            return {"before_MB": held / 2**20, "peak_MB": torch.cuda.max_memory_allocated(self.model.device) / 2**20}
        try:
            ctypes.CDLL(None).malloc_trim(0)
            (PROCESS / "clear_refs").write_text("5")
            before = _resident("VmRSS")
            self._step("train")()
            return {"before_MB": before, "peak_MB": _resident("VmHWM")}
        except (OSError, AttributeError):
            return None

    def _step(self, kind: str) -> Callable[[], None]:
        """The step, for which the model is put into its mode."""
        if kind != self.kind:
            module = self.model.module(kind)
            module.train(kind == "train").requires_grad_(kind == "train")
            self.kind = kind
        return {"inference": self._inference, "train": self._train}[kind]

    def _inference(self) -> None:
        self.model.predict("inference")

    def _train(self) -> None:
        out = self.model.predict("train")
        loss = sum(value.square().mean() for value in out.values())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[union-attr]
        self.optimiser.step()


def serve(build: Callable[[dict[str, Any]], Model]) -> None:
    """Answer requests until the input ends; an exception ends the process with its traceback on the standard error.

    Replies go to the file descriptor that the first argument of the script names: packages print what they like.
    """
    replies = os.fdopen(int(sys.argv[1]), "w")
    steps: Steps | None = None
    for line in sys.stdin:
        request = json.loads(line)
        command = request["command"]
        reply: dict[str, Any] = {}
        if command == "build":
            torch.set_num_threads(request["threads"])
            model = build(request)
            steps = Steps(model)
            reply["edges"] = model.edges
        elif steps is None:
            raise RuntimeError(f"{command} before build")
        elif command == "predict":
            np.savez(request["output"], **steps.predict())  # type: ignore[arg-type]
        elif command == "memory":
            reply["memory"] = steps.memory()
        else:
            reply["seconds"] = steps.run(command)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def frames(path: str) -> list[dict[str, np.ndarray]]:
    """The structures of a case: numbers [N], positions [N, 3] Å, cell [3, 3] Å, periodic (bool) of every frame."""
    with np.load(path) as file:
        arrays = dict(file)
    bounds = list(zip(arrays["ptr"][:-1], arrays["ptr"][1:], strict=True))
    return [
        {
            "numbers": arrays["numbers"][a:b],
            "positions": arrays["positions"][a:b],
            "cell": arrays["cell"][g],
            "periodic": arrays["periodic"][g],
        }
        for g, (a, b) in enumerate(bounds)
    ]


def save_weights(module: torch.nn.Module, path: str) -> None:
    """The state dict as arrays."""
    np.savez(path, **{key: value.cpu().numpy() for key, value in module.state_dict().items()})


def _resident(field: str) -> float:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / MEGABYTE
