"""Which of the processes of a job this one is; launchers (SLURM, torchrun, Lightning) say it in the environment.

Nothing heavy is imported here: Lightning reads the same variables when it is imported.
"""

from __future__ import annotations

import os
from typing import Any

from scalarpath.core.errors import ConfigError

RANKS = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
# all that makes Lightning or torch look for other processes, but for what SLURM says of the whole allocation
_OF_A_GROUP = (
    *RANKS, "GROUP_RANK", "JSM_NAMESPACE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT",
    "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE",
)  # fmt: skip


def is_first_process() -> bool:
    """Whether this is the process that writes files (also before torch.distributed is initialised)."""
    return not any(number(name) for name in RANKS)


def number(name: str) -> int | None:
    """A variable of the environment as a whole number; None where it is not set or empty.

    Raises ConfigError where it is something else.
    """
    text = os.environ.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"{name}={text} in the environment is not a whole number; unset it.") from None


def settle_ranks(devices: Any, num_nodes: Any) -> None:
    """Make this process the first one where its job has no other: with one device on one node.

    The ranks are then those of independent jobs (``srun -n4 bash -c 'train.py seed=$SLURM_PROCID'``) or left over from
    something else, so they are removed from the environment. Call it before Lightning is imported.
    """
    if devices == num_nodes == 1:
        for name in _OF_A_GROUP:
            os.environ.pop(name, None)
