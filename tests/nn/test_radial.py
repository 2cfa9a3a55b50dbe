"""Radial functions against their formulas and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import covalent_radii
from samples import batch_of
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.nn.radial import (
    AgnesiTransform,
    BesselBasis,
    GaussianBasis,
    SoftTransform,
    polynomial_cutoff,
    semicircle_taper,
)
from scalarpath.potential import build_potential
from scalarpath.potential.zbl import ZBL


@pytest.mark.parametrize("p", [3, 5, 6])
def test_envelope_is_one_at_the_origin_and_leaves_with_two_continuous_derivatives(p):
    x = torch.tensor([1e-9, 1.0 - 1e-9, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
    u = polynomial_cutoff(x, p)
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    for derivative in (u[1:], first, second[1:]):
        np.testing.assert_allclose(derivative.detach()[-3:], 0.0, atol=1e-6)
    assert u[0].item() == pytest.approx(1.0)


def test_envelope_falls_monotonically():
    u = polynomial_cutoff(torch.linspace(0, 1, 200, dtype=torch.float64), 6)
    assert (u.diff() <= 0).all()


def test_bessel_functions_solve_the_spherical_wave_equation_and_vanish_at_the_cutoff():
    basis = BesselBasis(4, 5.0)
    assert basis(torch.tensor([[5.0]], dtype=torch.float64)).abs().max() < 1e-12
    r = torch.linspace(1e-3, 5.0, 20001, dtype=torch.float64)[:, None]
    overlap = torch.trapezoid(basis(r).T[:, None] * basis(r).T[None] * r.T.square(), r.squeeze(), dim=-1)
    torch.testing.assert_close(overlap, torch.eye(4, dtype=torch.float64), atol=1e-3, rtol=0.0)


def test_fixed_and_trainable_bessel_functions_have_the_same_derivatives():
    x = torch.tensor([[0.3], [1.0], [2.2], [4.9]], dtype=torch.float64, requires_grad=True)
    fixed, trainable = BesselBasis(4, 5.0), BesselBasis(4, 5.0, trainable=True)
    assert gradcheck(fixed, x)
    assert gradgradcheck(fixed, x)
    slopes = [torch.autograd.grad(basis(x).pow(3).sum(), x)[0] for basis in (fixed, trainable)]
    torch.testing.assert_close(*slopes, rtol=1e-13, atol=1e-13)


def test_gaussians_peak_at_their_centres():
    centres = torch.linspace(0, 4.0, 5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(GaussianBasis(5, 4.0)(centres).diagonal(), torch.ones(5, dtype=torch.float64))


def test_agnesi_transform_has_its_published_form():
    r = torch.tensor([[1.1], [2.3]], dtype=torch.float64)
    i, j = torch.tensor([0, 1]), torch.tensor([1, 1])
    radii = [0.5 * (covalent_radii[8] + covalent_radii[14]), covalent_radii[14]]
    expected = []
    for distance, radius in zip(r.squeeze().tolist(), radii, strict=True):
        q = distance / radius
        expected.append([1.0 / (1.0 + 1.0805 * q**0.9183 / (1.0 + q ** (0.9183 - 4.5791)))])
    np.testing.assert_allclose(AgnesiTransform([8, 14])(r, i, j), expected, rtol=1e-12)


def test_soft_transform_is_flat_below_contact_and_the_distance_far_above():
    contact = 2 * covalent_radii[14]
    r = torch.tensor([[0.2 * contact], [3.0 * contact]], dtype=torch.float64)
    same = torch.zeros(2, dtype=torch.long)
    low, high = SoftTransform([14])(r, same, same).squeeze().tolist()
    assert low == pytest.approx(0.75 * contact, rel=2e-2)
    assert high == pytest.approx(3.0 * contact, rel=1e-6)


def test_semicircle_taper_falls_from_one_to_exp_minus_beta():
    taper = semicircle_taper(1000, 4.0)
    assert taper[0].item() == pytest.approx(1.0, abs=1e-5)
    assert (taper.diff() < 0).all()
    assert semicircle_taper(8, 0.0).tolist() == [1.0] * 8
    assert taper[-1].item() == pytest.approx(math.exp(-4.0), rel=0.25)


def test_zbl_pair_energy_and_range():
    config = {
        "species": [8, 14], "cutoff": 4.0, "dtype": "float64", "repulsion": "zbl",
        "backbone": {"kind": "mace", "num_channels": 2, "max_ell": 1}, "head": {"name": "baseline", "parts": {}},
    }  # fmt: skip
    with_zbl, without = (build_potential(config | {"repulsion": kind}).eval() for kind in ("zbl", None))

    def repulsion(distance: float) -> float:
        batch = batch_of(Atoms("SiO", [[0, 0, 0], [0, 0, distance]]))
        return (with_zbl(batch)["energy"] - without(batch)["energy"]).item()

    r, length = 0.8, 0.4543 * 0.529 / (8**0.3 + 14**0.3)
    factors = zip((0.1818, 0.5099, 0.2802, 0.02817), (3.2, 0.9423, 0.4028, 0.2016), strict=True)
    screening = sum(c * math.exp(-e * r / length) for c, e in factors)
    envelope = polynomial_cutoff(torch.tensor(r / (covalent_radii[8] + covalent_radii[14])), 6).item()
    assert repulsion(r) == pytest.approx(14.3996 * 8 * 14 / r * screening * envelope, rel=1e-6)
    assert repulsion(covalent_radii[8] + covalent_radii[14] + 1e-6) == 0.0
    assert isinstance(with_zbl.repulsion, ZBL)
