"""The fuzzer sees what it looks for."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from isolation import outcome

from scalarpath.core.errors import ConfigError


def ends(how: str) -> str:
    if how == "fine":
        return how
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(600)
    raise {"refused": ConfigError("no."), "two lines": ConfigError("no\nno"), "traceback": KeyError(how)}[how]


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("fine", "done", ""),
        ("refused", "refused", "no."),
        ("two lines", "fault", "no\nno"),
        ("traceback", "fault", "KeyError: 'traceback'"),
        ("signal", "fault", "exit -11"),
        ("hang", "fault", "no end within 0.5 s"),
    ],
)
def test_every_end_is_told_from_the_others(how: str, kind: str, text: str, tmp_path: Path) -> None:
    found = outcome(ends, how, output=tmp_path / "out", seconds=0.5 if how == "hang" else 60)
    assert (found.kind, text in found.text) == (kind, True)
    assert found.value == ("fine" if how == "fine" else None)
