"""Memory that a stretch of work takes, on a GPU or in this process."""

from __future__ import annotations

from pathlib import Path

import torch

from scalarpath.core.memory import give_back_freed

GIB = 2.0**30
PROCESS = Path("/proc/self")


class Memory:
    """Memory that a stretch of work takes: of the GPU, or (Linux) resident memory of this process.

    Freed memory that the C library keeps is given back first: work that finds room in it takes none of the system.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)
        elif PROCESS.exists():
            give_back_freed()
            (PROCESS / "clear_refs").write_text("5")  # the largest value so far starts again from the present one
            self.before = _resident("VmRSS")

    def taken_gib(self) -> float | None:
        """Largest value since the start beyond what was there at the start; None where the system does not tell."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return (torch.cuda.max_memory_allocated(self.device) - self.before) / GIB
        return (_resident("VmHWM") - self.before) / GIB if PROCESS.exists() else None


def _resident(field: str) -> int:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
