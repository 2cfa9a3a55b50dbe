"""Signals end a process like Ctrl-C, with an exit status that tells which."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from scalarpath.core.termination import Terminated, exit_status, is_interrupt, name_of

CODE = """
import signal, sys
from scalarpath.core.termination import end_on_signals, exit_status, name_of
signal.signal(signal.SIGHUP, signal.SIG_IGN)
end_on_signals()
try:
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(getattr(signal, sys.argv[1]))
except KeyboardInterrupt as interrupt:
    signal.raise_signal(signal.SIGTERM)
    print(name_of(interrupt))
    sys.exit(exit_status(interrupt))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_the_first_signal_ends_with_its_number_and_those_after_it_leave_time_for_last_words(name: str) -> None:
    result = subprocess.run([sys.executable, "-c", CODE, name], capture_output=True, text=True, check=False)
    assert result.returncode == 128 + getattr(signal, name), result.stderr
    assert result.stdout == f"{name}\n"


def test_an_interrupt_is_told_from_a_failure() -> None:
    assert name_of(KeyboardInterrupt()) == "Ctrl-C"
    assert exit_status(KeyboardInterrupt()) == 130
    assert exit_status(Terminated(signal.SIGTERM)) == 143
    assert [is_interrupt(status) for status in (130, 143, -15, -2, 138)] == [True] * 5
    assert [is_interrupt(status) for status in (0, 1, 2, -9, -11, 137, 139)] == [False] * 7
