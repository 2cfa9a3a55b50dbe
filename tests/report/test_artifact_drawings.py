"""Curves of artifacts in a report: a line for every run over the reference, and none where nothing is known."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from scalarpath.artifacts.measure import Curve
from scalarpath.report.artifact_drawings import artifact_figure
from scalarpath.report.artifact_rows import ArtifactCurves

REFERENCE = Curve("crystal", "distance (Å)", "energy (eV)", np.linspace(1, 2, 50), np.linspace(4, 0, 50), True)
SOFT = replace(REFERENCE, y=np.linspace(90, 0, 50), is_reference=False)
COLOURS = {"baseline": "#000000", "linear": "#ff0000"}


def drawn(*curves: Curve):
    runs = {"baseline": {0: list(curves)}, "linear": {0: [SOFT], 1: [SOFT]}}
    return artifact_figure(ArtifactCurves("si", "mace", "", "repulsion", "si", runs), COLOURS)


def test_every_run_has_a_line_over_the_reference_which_sets_the_range():
    (axis,) = drawn(REFERENCE, SOFT).axes
    assert sorted(line.get_color() for line in axis.get_lines()) == ["#000000", "#9aa5b1", "#ff0000", "#ff0000"]
    assert axis.get_ylim() == pytest.approx((-0.6, 4.6))


@pytest.mark.parametrize("unknown", [SOFT, REFERENCE])
def test_curves_of_which_nothing_is_known_are_no_error(unknown: Curve):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drawn(replace(unknown, y=np.full(50, np.nan))).axes
