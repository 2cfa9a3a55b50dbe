"""Signals that end a process, as an exception like that of Ctrl-C: files are closed, the record of a run stays true."""

from __future__ import annotations

import os
import signal
from types import FrameType

# SLURM, SGE, LSF and PBS end a job with one of these, some time before they kill it; SIGHUP: the terminal is gone
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


class Terminated(KeyboardInterrupt):
    """The process has been told to end by the signal ``number``, by another process and not at the keyboard."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def end_on_signals() -> None:
    """Let signals that end the process raise ``Terminated`` in the main thread, once; what is ignored stays so."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def name_of(interrupt: KeyboardInterrupt) -> str:
    """What has interrupted: the name of a signal, or Ctrl-C."""
    return str(interrupt) if isinstance(interrupt, Terminated) else "Ctrl-C"


def exit_status(interrupt: KeyboardInterrupt) -> int:
    """What a shell gives for it: 128 and the number of the signal."""
    return 128 + (interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT)


def is_interrupt(status: int) -> bool:
    """Whether a process with this exit status (negative: killed by a signal) was interrupted, and did not fail."""
    return max(-status, status - 128) in (signal.SIGINT, *_ENDING)


def is_alive(pid: int) -> bool:
    """Whether there is a process with this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _end(number: int, frame: FrameType | None) -> None:
    # clusters send several, and the first one is enough: the last words must not be cut off
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise Terminated(number)
