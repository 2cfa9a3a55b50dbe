"""The C++ kernels against the same sums in torch's operations, and what happens where they cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from e3nn import o3
from samples import batch_of, make_potential, quartz_like, silanol
from torch.autograd import gradcheck, gradgradcheck

from scalarpath.backbones.allegro import two_body_tensors
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded, with_zero_row
from scalarpath.heads import PathwayShape, build_head, descriptors
from scalarpath.heads.descriptors import LocalDescriptors
from scalarpath.heads.interface import PathwayInputs
from scalarpath.heads.linear import LinearPotential
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.cpu import choice, gates, library, structs
from scalarpath.nn.cpu.gates import kernel_node_gates
from scalarpath.nn.cpu.linear_energy import kernel_linear_energy
from scalarpath.potential.flop_count import flops

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler here")


PAIR_CUTOFFS = torch.tensor([[4.0, 3.5], [3.5, 3.0]], dtype=torch.float64)


def geometry_of(*frames, paired: bool = True) -> EdgeGeometry:
    batch = batch_of(*frames)
    vectors = torch.ones(batch.edge_index.shape[1], 3, dtype=torch.float64)
    return EdgeGeometry.from_vectors(
        vectors, batch, torch.zeros_like(batch.z), 5.0, None if paired else torch.full((1, 1), 5.0, dtype=torch.float64)
    )


def convolution_of(irreps: str, l_edge: int, targets: str = "0e+0o+1o+1e+2e+3o+4e") -> ChannelwiseConvolution:
    inputs = o3.Irreps(irreps)
    reached = {str(out) for _, ir in inputs for l in range(l_edge + 1) for out in ir * o3.Irrep(l, (-1) ** l)}  # noqa: E741
    return ChannelwiseConvolution(inputs, l_edge, [ir for _, ir in o3.Irreps(targets) if str(ir) in reached])


def arguments(convolution, geometry, gated: bool, dtype=torch.float64) -> list[torch.Tensor]:
    """Harmonics but the constant one, gate or none, weights of the pairs in one or two blocks, features."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
    exists = torch.zeros(geometry.n_atoms * geometry.max_degree, dtype=dtype).index_fill_(0, geometry.slot, 1.0)
    exists = exists.view(geometry.n_atoms, geometry.max_degree, 1)
    harmonics = draw(geometry.n_atoms, geometry.max_degree, convolution.plan.n_harmonics - 1)
    gate = [draw(geometry.n_atoms, geometry.max_degree, 1)] if gated else []
    weights = with_zero_row(draw(len(geometry.pair_edge), convolution.weight_numel), geometry)
    scalar, other = weights.tensor_split([convolution.scalar_width], dim=1)
    features = [
        draw(geometry.n_atoms, 2 * degree + 1, channels)
        for degree, channels in zip(convolution.degrees, convolution.channels, strict=True)
    ]
    blocks = [scalar, other] if other.shape[1] else [scalar]
    return [x.requires_grad_() for x in (harmonics * exists, *gate, *blocks, *features)]


def called(convolution, geometry, gated: bool, *tensors):
    harmonics, *rest = tensors
    harmonics = torch.cat([torch.ones_like(harmonics[:, :, :1]), harmonics], dim=2)
    gate = rest.pop(0) if gated else None
    n = len(convolution.channels)
    return convolution(rest[-n:], rest[:-n], harmonics, geometry, gate)


def derivatives(convolution, geometry, gated: bool, inputs) -> list[torch.Tensor]:
    """Outputs, first derivatives of a nonlinear function of them, and derivatives of these."""
    n_pairs = len(geometry.pair_edge)

    def counted(values: torch.Tensor) -> torch.Tensor:
        return values[:n_pairs] if len(values) == n_pairs + 1 else values  # nobody reads the zero row

    out = called(convolution, geometry, gated, *inputs)
    first = torch.autograd.grad(sum(x.square().sum() for x in out), inputs, create_graph=True)
    first = [counted(x) for x in first]
    second = torch.autograd.grad(sum(x.pow(3).sum() for x in first), inputs)
    return [*out, *first, *(counted(x) for x in second)]


CASES = {
    "scalars": ("11x0e", 2),
    "every kind of path": ("9x0e+4x1o+3x2e", 2),
    "both parities": ("8x0e+2x0o+3x1o+5x1e", 2),
    "degree 4": ("2x0e+1x1o", 4),
    "only scalar outputs": ("6x0e+3x1o", 1),
}


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_sum_and_derivatives_are_those_of_torch_operations(case, paired, gated):
    irreps, l_edge = CASES[case]
    convolution = convolution_of(irreps, l_edge, "0e" if case.startswith("only") else "0e+0o+1o+1e+2e+3o+4e")
    geometry = geometry_of(quartz_like(), silanol(), paired=paired)
    inputs = arguments(convolution, geometry, gated)
    ours = derivatives(convolution, geometry, gated, inputs)
    with choice.in_torch_operations():
        theirs = derivatives(convolution, geometry, gated, inputs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11 * float(b.detach().abs().max() + 1), msg=f"{case} {k}")


def test_first_and_second_derivatives_are_those_of_finite_differences():
    convolution, geometry = convolution_of("5x0e+2x1o", 1, "0e+1o"), geometry_of(silanol())
    inputs = arguments(convolution, geometry, True)

    def function(*tensors):
        return called(convolution, geometry, True, *tensors)

    assert gradcheck(function, inputs, fast_mode=True)
    assert gradgradcheck(function, inputs, fast_mode=True)


def test_an_open_gate_changes_no_digit():
    convolution, geometry = convolution_of("8x0e+4x1o", 2), geometry_of(quartz_like())
    without = arguments(convolution, geometry, False)
    ones = torch.ones(geometry.n_atoms, geometry.max_degree, 1, dtype=torch.float64, requires_grad=True)
    a = derivatives(convolution, geometry, False, without)
    b = derivatives(convolution, geometry, True, [without[0], ones, *without[1:]])
    n_out = len(convolution.targets)
    for x, y in zip(a[: n_out + 1], b[: n_out + 1], strict=True):  # outputs, and derivatives by harmonics
        assert torch.equal(x, y)


def test_threads_share_out_the_work(monkeypatch):
    monkeypatch.setattr(library, "EDGES_PER_THREAD", 1)
    convolution, geometry = convolution_of("9x0e+4x1o", 2), geometry_of(quartz_like(), silanol())
    inputs = arguments(convolution, geometry, True)
    one = derivatives(convolution, geometry, True, inputs)
    before = torch.get_num_threads()
    try:
        for threads in (2, 3):
            torch.set_num_threads(threads)
            for a, b in zip(derivatives(convolution, geometry, True, inputs), one, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_atoms_without_neighbours_add_nothing(dtype):
    lone = silanol()[:1]
    convolution, geometry = convolution_of("3x0e", 1), geometry_of(lone, silanol())
    out = called(convolution.to(dtype), geometry, False, *arguments(convolution, geometry, False, dtype))
    assert not any(values[0].any() for values in out)
    assert out[0][1:].any()
    assert out[0].dtype == dtype


def test_degrees_beyond_the_kernel_run_in_torch_operations():
    convolution, geometry = convolution_of("2x0e", 5, "0e+5o"), geometry_of(silanol())
    out = called(convolution, geometry, False, *arguments(convolution, geometry, False))
    assert [x.shape[1] for x in out] == [1, 11]


@pytest.mark.parametrize("kind", ["mace", "nequip"])
def test_operations_are_counted_as_without_kernels(kind):
    potential, batch = make_potential("panpgs", kind=kind, dtype="float64"), batch_of(quartz_like())
    counted = flops(lambda: potential(batch))
    with choice.in_torch_operations():
        assert counted == flops(lambda: potential(batch)) > 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pair_cutoffs", [None, PAIR_CUTOFFS])
def test_descriptors_and_derivatives_are_those_of_torch_operations(pair_cutoffs, threads, monkeypatch):
    monkeypatch.setattr(library, "threads_for", lambda edges: threads)
    batch, generator = batch_of(quartz_like(), silanol()), torch.Generator().manual_seed(0)
    centre, neighbour = batch.edge_index
    shift = torch.einsum("ek,ekl->el", batch.edge_shift, batch.cell[batch.batch[centre]])
    vectors = (batch.pos[neighbour] - batch.pos[centre] + shift).requires_grad_()
    module = descriptors.NeighbourhoodDescriptors(4.0, 2)

    def geometry() -> EdgeGeometry:
        species = (batch.z == 14).long()
        return EdgeGeometry.from_vectors(vectors, batch, species, 4.0, pair_cutoffs)

    with torch.no_grad():
        module.observe(geometry())
        module.finish_observation()
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    inputs = [vectors, *module.parameters()]

    assert_same_in_torch_operations(lambda: [module(geometry()).values], inputs)


def with_derivatives(function, inputs) -> list[torch.Tensor]:
    """Values, first derivatives of a nonlinear function of them, and derivatives of these."""
    out = function()
    first = torch.autograd.grad(sum(x.pow(3).sum() for x in out), inputs, create_graph=True)
    return [*out, *first, *torch.autograd.grad(sum(x.square().sum() for x in first), inputs)]


def assert_same_in_torch_operations(function, inputs, tolerance: float = 1e-12) -> None:
    ours = with_derivatives(function, inputs)
    with choice.in_torch_operations():
        theirs = with_derivatives(function, inputs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        atol = tolerance * float(b.detach().abs().max())
        torch.testing.assert_close(a, b, rtol=tolerance, atol=atol, msg=lambda m, k=k: f"{k}: {m}")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("n_species", [1, 2])
@pytest.mark.parametrize("rows", ["pairs", "every edge a pair", "edges"])
@pytest.mark.parametrize("part", ["node_gate", "edge_gate"])
def test_gates_and_derivatives_are_those_of_torch_operations(part, rows, n_species, threads, monkeypatch):
    monkeypatch.setattr(library, "threads_for", lambda edges: threads)
    geometry = geometry_of(quartz_like(), silanol(), silanol()[:1], paired=rows != "every edge a pair")
    if n_species == 2:
        geometry.species = torch.arange(geometry.n_atoms) % 2
    pathway = PathwayShape(5.0, n_species, 3, (4, 6), (13, 5), (4,))
    head, generator = build_head({"name": "test", "parts": {part: {"hidden": 11}}}, pathway, seed=0), torch.Generator()
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    gate = head.parts[part]
    with torch.no_grad():
        for parameter in gate.parameters():
            parameter += draw(*parameter.shape)
    radial = draw(len(geometry.centre if rows == "edges" else geometry.pair_edge), 3)
    radial = radial if rows == "edges" else with_zero_row(radial, geometry)
    local = LocalDescriptors(draw(geometry.n_atoms, 7).requires_grad_(), draw(n_species, 7))
    exists = to_padded(torch.ones(len(geometry.centre), 1, dtype=torch.float64), geometry)

    def gates() -> list[torch.Tensor]:
        values = gate.prepare(PathwayInputs(geometry, radial, rows != "edges", local))
        return [x * exists for x in values] if part == "edge_gate" else list(values)

    inputs = [local.values, *gate.parameters()]
    if part == "edge_gate":
        inputs.append(radial.requires_grad_())
    assert_same_in_torch_operations(gates, inputs)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pair_cutoffs", [None, PAIR_CUTOFFS])
@pytest.mark.parametrize("n_species", [1, 2])
@pytest.mark.parametrize("part", ["edge_band", "embedding_readout"])
def test_mixers_and_derivatives_are_those_of_torch_operations(part, n_species, pair_cutoffs, threads, monkeypatch):
    monkeypatch.setattr(library, "threads_for", lambda edges: threads)
    batch, generator = batch_of(quartz_like(), silanol(), silanol()[:1]), torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    vectors = draw(batch.edge_index.shape[1], 3).requires_grad_()
    pathway = PathwayShape(4.0, n_species, 3, (4, 6), (4, 4), (4, 4))
    options = {"first": 3, "size": 5, "rank": 3} if part == "edge_band" else {"orders": 3}
    module = build_head({"name": "test", "parts": {part: options}}, pathway, seed=0).parts[part]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += draw(*parameter.shape)
    species = (batch.z == 14).long() if n_species == 2 else torch.zeros_like(batch.z)
    values = draw(len(species), 7).requires_grad_()
    local = LocalDescriptors(values, draw(n_species, 7))

    def prepared() -> list[torch.Tensor]:
        geometry = EdgeGeometry.from_vectors(vectors, batch, species, 4.0, pair_cutoffs)
        return [module.prepare(PathwayInputs(geometry, vectors, True, local))]

    inputs = [vectors, module.mix, module.pair] if part == "edge_band" else [values, module.coefficients]
    assert_same_in_torch_operations(prepared, inputs)


def test_gates_of_any_argument_stay_within_their_bounds():
    """The kernel's own exponential neither overflows nor leaves exp(+-strength)."""
    geometry = geometry_of(silanol())
    n = geometry.n_atoms
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        o = torch.tensor([-1e30, -700.0, -20.0, -1e-3, 0.0, 1e-3, 3.0, 89.0, 1e30], dtype=dtype)
        networks = [torch.zeros(n, 1), torch.zeros(1, 1), torch.full((1, 1), 50.0, dtype=torch.float64), o[None] / 50.0]
        (gates,) = kernel_node_gates(geometry, [x.to(dtype) for x in networks], 2.0)
        torch.testing.assert_close(gates[0], torch.exp(2.0 * torch.tanh(o)), rtol=tolerance, atol=0.0)
        assert gates[0, 4] == 1.0


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("degree", range(5))
def test_two_body_tensors_and_derivatives_are_those_of_torch_operations(degree, threads, monkeypatch):
    monkeypatch.setattr(library, "threads_for", lambda edges: threads)
    geometry, generator = geometry_of(quartz_like(), silanol()), torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    weights = draw(len(geometry.centre), (degree + 1) * 3).requires_grad_()
    harmonics = to_padded(draw(len(geometry.centre), (degree + 1) ** 2), geometry).requires_grad_()

    assert_same_in_torch_operations(lambda: [two_body_tensors(weights, harmonics, geometry)], [weights, harmonics])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pair_cutoffs", [None, PAIR_CUTOFFS])
@pytest.mark.parametrize("n_species", [1, 2])
@pytest.mark.parametrize("sizes", [(5, 3, 4), (14, 6, 3), (2, 0, 0)])
def test_linear_energies_and_derivatives_are_those_of_torch_operations(
    sizes, n_species, pair_cutoffs, threads, monkeypatch
):
    monkeypatch.setattr(library, "threads_for", lambda edges: threads)
    batch, generator = batch_of(quartz_like(), silanol(), silanol()[:1]), torch.Generator().manual_seed(0)
    vectors = torch.randn(batch.edge_index.shape[1], 3, generator=generator, dtype=torch.float64).requires_grad_()
    pair, radial, l_max = sizes
    linear = LinearPotential(n_species, 4.0, pair=pair, radial=radial, l_max=l_max)
    linear.coefficients.normal_(0.0, 0.1, generator=generator)
    species = (batch.z == 14).long() if n_species == 2 else torch.zeros_like(batch.z)

    def energies() -> list[torch.Tensor]:
        geometry = EdgeGeometry.from_vectors(vectors, batch, species, 4.0, pair_cutoffs).directed()
        return [linear(geometry)]

    assert_same_in_torch_operations(energies, [vectors])


def test_more_terms_than_the_kernel_has_room_for_run_in_torch_operations():
    geometry = geometry_of(silanol())
    for sizes in ({"pair": 33}, {"exponents": [0.1 * k for k in range(1, 10)]}):
        assert kernel_linear_energy(LinearPotential(1, 5.0, **sizes), geometry) is None


def test_forces_ask_for_no_derivatives_by_parameters(monkeypatch):
    asked = []
    derivatives = gates.Gates.derivatives

    def spy(self, inputs, wanted):
        asked.append(list(wanted))
        return derivatives(self, inputs, wanted)

    monkeypatch.setattr(gates.Gates, "derivatives", spy)
    potential = make_potential("pan_node", dtype="float64").eval()
    potential(batch_of(silanol()))
    assert asked.pop() == [True] + [False] * (len(potential.head.parts["node_gate"].w2) + 2)
    potential(batch_of(silanol()), forces=False, stress=False)["energy"].sum().backward()
    assert all(asked.pop()[1:])
    assert potential.head.parts["node_gate"].w1.grad.isfinite().all()


def test_a_struct_that_differs_from_what_its_source_reads_is_refused(tmp_path, monkeypatch):
    """The compiler gets the description of Python; and this is part of the key under which a library is kept."""
    header, source = tmp_path / "structs.h", library.SOURCES / "edge_band.cpp"
    command = ["c++", "-fsyntax-only", "-fopenmp", "-std=gnu++17", "-w", f"-I{tmp_path}", str(source)]
    header.write_text(structs.declarations())
    assert subprocess.run(command).returncode == 0
    members = structs._kinds
    monkeypatch.setattr(structs, "_kinds", lambda cls: [(n.replace("rank", "width"), kind) for n, kind in members(cls)])
    header.write_text(structs.declarations())
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert "rank" in refused.stderr


PROBE = """
import warnings
from scalarpath.nn.cpu.library import library
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(library() is not None, library() is not None, [str(w.message) for w in caught if 'kernels' in str(w.message)])
"""


def probe(tmp_path, **environment: str) -> str:
    """What a new process prints about the kernels, on both streams."""
    given = {
        "PATH": "/nowhere",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    given["SCALARPATH_CACHE"] = str(tmp_path / "cache")
    command = [sys.executable, "-W", "ignore", "-c", PROBE]
    finished = subprocess.run(command, env=given | environment, capture_output=True, text=True, check=True)
    return finished.stdout + finished.stderr


def compiler(tmp_path, body: str) -> dict[str, str]:
    """An environment with this shell script in place of a compiler."""
    script = tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n{body}\n')
    script.chmod(0o755)
    return {"CXX": str(script), "PATH": "/bin:/usr/bin"}


def copier(tmp_path) -> dict[str, str]:
    """The same with a quick compiler: it copies the library of this process."""
    find_output = 'while [ "$1" != -o ]; do shift; done'
    return compiler(tmp_path, f'{find_output}\ncp "{library.library()._name}" "$2"')


def test_without_a_compiler_one_warning_says_what_to_do(tmp_path):
    out = probe(tmp_path)
    assert out.startswith("False False")
    assert out.count("no C++ compiler found, tried c++, g++, clang++") == 1
    assert "SCALARPATH_CPU_KERNELS=0" in out


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path):
    out = probe(tmp_path, **compiler(tmp_path, 'echo "x.cpp:1: error: no such flag" >&2\nexit 1'))
    assert out.startswith("False False")
    assert "error: no such flag" in out
    assert not list((tmp_path / "cache" / "kernels").iterdir())


def test_they_can_be_left_out(tmp_path):
    assert probe(tmp_path, SCALARPATH_CPU_KERNELS="0").strip() == "False False []"


def test_they_are_kept_in_the_cache_and_found_again(tmp_path):
    quick = copier(tmp_path)
    assert f"to {tmp_path / 'cache' / 'kernels'}\n" in probe(tmp_path, **quick)
    assert len(list((tmp_path / "cache" / "kernels").iterdir())) == 1
    assert probe(tmp_path, **quick).strip() == "True True []"


def test_without_a_cache_they_are_kept_in_a_temporary_folder(tmp_path):
    (tmp_path / "file").touch()
    quick = {**copier(tmp_path), "SCALARPATH_CACHE": str(tmp_path / "file")}
    out = probe(tmp_path, **quick)
    assert out.startswith("True True []")
    assert f"since {tmp_path / 'file' / 'kernels'}: Not a directory; set SCALARPATH_CACHE" in out
    assert probe(tmp_path, **quick).strip() == "True True []"


def test_a_folder_of_somebody_else_is_not_trusted(tmp_path):
    folders = [tmp_path / "cache" / "kernels", tmp_path / f"scalarpath-kernels-{os.getuid()}"]
    for folder in folders:
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    out = probe(tmp_path, **copier(tmp_path))
    assert out.startswith("False False")
    assert all(f"{folder}: it is no folder that belongs to you alone" in out for folder in folders)
    assert "Set SCALARPATH_CACHE" in out
