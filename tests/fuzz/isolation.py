"""One call in a process of its own, and how it ended: what a fuzzer has to survive."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalarpath.core.errors import ScalarPathError

SECONDS = 20.0  # on an idle machine; a busy one gets more
MEMORY = 12 << 30  # bytes of address space: what takes more must have been refused
PRELOADED = ["torch", "pytorch_lightning", "scalarpath.training.run", "scalarpath.evaluation.command", "hydra"]

_FORKS = multiprocessing.get_context("forkserver")  # a clean process, which has imported what is slow to import
_FORKS.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Outcome:
    """done: it returned ``value``; refused: one of the package's exceptions said ``text``; fault: anything else."""

    kind: str
    text: str = ""
    value: Any = None


def outcome(call: Callable[..., Any], *arguments: Any, output: Path, seconds: float = SECONDS) -> Outcome:
    """Call a function of a module in another process and wait for it; what it prints goes to the file ``output``."""
    receiver, sender = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_child, args=(sender, output, call, arguments))
    process.start()
    sender.close()
    try:
        found = (
            receiver.recv() if receiver.poll(seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))) else None
        )
    except EOFError:
        process.join()
        return Outcome("fault", f"exit {process.exitcode}\n{output.read_text(errors='replace')[-3000:]}")
    finally:
        if process.is_alive():
            process.join(0.5)
            process.kill()
        process.join()
    return found or Outcome("fault", f"no end within {seconds:g} s\n{output.read_text(errors='replace')[-3000:]}")


def _child(sender: Any, output: Path, call: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        faulthandler.enable(file)
        faulthandler.dump_traceback_later(0.8 * SECONDS, file=file)
        try:
            found = Outcome("done", value=call(*arguments))
        except ScalarPathError as error:
            # one sentence, as a command line would print it
            found = Outcome("fault" if "\n" in str(error) else "refused", str(error))
        except BaseException:
            found = Outcome("fault", traceback.format_exc())
        sender.send(found)
