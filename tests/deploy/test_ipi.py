"""i-PI with ASE's client: the example of the page."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest

from scalarpath.deploy import ScalarPathCalculator

PROGRAM = shutil.which("i-pi", path=Path(sys.executable).parent)


@pytest.mark.skipif(PROGRAM is None, reason="i-PI is not installed: pip install 'scalarpath[ipi]'")
def test_four_beads_of_the_example_move_and_their_energies_are_those_of_ase(example, tmp_path):
    address = f"scalarpath_{time.time_ns()}"  # of its own, since all sockets are in /tmp
    for name in ("input.xml", "client_ipi.py"):
        text = (tmp_path / name).read_text()
        assert text.count("scalarpath ") + text.count('"scalarpath"') >= 1
        text = text.replace("> scalarpath <", f"> {address} <").replace('"scalarpath"', f'"{address}"')
        (tmp_path / name).write_text(text)
    example("start_ipi.py")
    socket = Path("/tmp") / f"ipi_{address}"
    with subprocess.Popen([PROGRAM, "input.xml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not socket.exists():
                assert server.poll() is None, "i-PI has ended before it listened"
                time.sleep(0.1)
            example("client_ipi.py")
            assert server.wait(timeout=60) == 0
        finally:
            server.terminate()
            socket.unlink(missing_ok=True)
    steps = np.loadtxt(tmp_path / "pimd.out")
    assert list(steps[:, 0]) == [0, 1, 2, 3, 4, 5]
    start = ase.io.read(tmp_path / "start.extxyz")
    calculator = ScalarPathCalculator("outputs/study/s0")
    # the two have other constants of nature
    assert steps[0, 3] == pytest.approx(calculator.get_property("energy", start), rel=1e-6)
    beads = [ase.io.read(tmp_path / f"pimd.pos_{bead}.extxyz", index=-1) for bead in range(4)]
    mean = np.mean([calculator.get_property("energy", atoms) for atoms in beads])
    assert steps[5, 3] == pytest.approx(mean, rel=1e-6)
    assert len({atoms.positions[0, 0] for atoms in beads}) == 4
