import hashlib
import io
import logging
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase import Atoms

from scalarpath.data import cache
from scalarpath.data.cache import build_graphs, content_hash
from scalarpath.data.config import DataConfig
from scalarpath.data.graph_file import write_graphs
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import Frame
from scalarpath.graph import AtomicGraph


@pytest.fixture
def labelled_set(make_silicon):
    frames = [Frame(atoms, "set.extxyz", k) for k, atoms in enumerate(make_silicon(4))]
    frames[2].atoms.calc.results.pop("stress")
    spec = DataConfig.read({"path": "x"})
    return frames, [extract_labels(frame, find_keys(frames, spec), spec) for frame in frames]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert sorted(a.keys()) == sorted(b.keys())
        for key in a.keys():  # noqa: SIM118
            if torch.is_tensor(a[key]):
                assert a[key].dtype == b[key].dtype, key
                assert torch.equal(a[key].nan_to_num(7e7), b[key].nan_to_num(7e7)), key
            else:
                assert a[key] == b[key]


def build(labelled_set, indices, directory, cutoff=5.0):
    return build_graphs(*labelled_set, indices, cutoff, content_hash(*labelled_set), directory)


def test_cached_graphs_are_the_fresh_ones(labelled_set, tmp_path, monkeypatch):
    fresh = build(labelled_set, [3, 0, 2], None)
    assert [int(graph.frame) for graph in fresh] == [3, 0, 2]
    assert_same(fresh, build(labelled_set, [3, 0, 2], tmp_path))
    monkeypatch.setattr(AtomicGraph, "from_atoms", lambda *_, **__: pytest.fail("the cache was not used"))
    assert_same(fresh, build(labelled_set, [3, 0, 2], tmp_path))


def test_isolated_atoms_and_single_atoms_survive_the_file(with_labels, tmp_path):
    atoms = [with_labels(Atoms("Si"), energy=-1.0), with_labels(Atoms("SiC", [[0, 0, 0], [0, 0, 1.5]]), energy=-2.0)]
    frames, spec = [Frame(a, "set.extxyz", k) for k, a in enumerate(atoms)], DataConfig.read({"path": "x"})
    labelled = frames, [extract_labels(frame, find_keys(frames, spec), spec) for frame in frames]
    fresh, cached = build(labelled, [0, 1], None), build(labelled, [0, 1], tmp_path)
    assert_same(fresh, cached)
    for graphs in (fresh, cached):
        assert graphs.sizes.tolist() == [(1, 0, 0, 1), (2, 2, 1, 0)]


def test_graphs_are_read_one_by_one_and_never_written_through(labelled_set, tmp_path):
    graphs = build(labelled_set, [0, 1, 2], tmp_path)
    graphs[1].pos += 1.0
    graphs[1].energy += 1.0
    assert_same(graphs, build(labelled_set, [0, 1, 2], None))
    assert [int(graph.frame) for graph in graphs[1:]] == [1, 2]


def test_selected_graphs_keep_their_frames_and_sizes(labelled_set, tmp_path):
    for directory in (None, tmp_path):
        graphs = build(labelled_set, [3, 0, 2], directory).select([2, 0])
        assert [int(graph.frame) for graph in graphs] == [2, 3]
        assert [graph.edge_index.shape[1] for graph in graphs] == graphs.sizes["edges"].tolist()
        assert [int(graph.frame) for graph in graphs.select([1])] == [3]
        assert_same(graphs.select([1]), build(labelled_set, [3], None))


def test_cache_file_holds_numbers_only(labelled_set, tmp_path):
    """22 bytes an edge, 50 an atom, 155 a frame and 32 in the table of sizes: no code that reading could run."""
    graphs = build(labelled_set, [0, 1], tmp_path)
    (path,) = tmp_path.iterdir()  # one file, nothing temporary left
    records = 22 * graphs.sizes["edges"] + 50 * graphs.sizes["atoms"] + 155
    assert path.stat().st_size == sum(-(-n // 8) * 8 + 32 for n in records) + 24


def test_the_layout_of_the_file_is_that_of_its_format():
    stream = io.BytesIO()
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]], cell=[4, 4, 4], pbc=[True, True, False])
    write_graphs(stream, [AtomicGraph.from_atoms(atoms, 4.5, energy=-1.0)])
    digest = hashlib.sha256(stream.getvalue()).hexdigest()[:8]
    assert (cache.FORMAT, digest) == (4, "5634a23c")


def test_any_change_of_content_changes_the_hash(labelled_set):
    frames, labels = labelled_set
    base = content_hash(frames, labels)
    assert base == content_hash([Frame(f.atoms.copy(), "elsewhere", 9) for f in frames], labels)
    hashes = {base, content_hash(frames[::-1], labels[::-1])}
    for change in (
        lambda a: a.positions.__iadd__(1e-9),
        lambda a: a.set_cell(1.0001 * np.asarray(a.cell)),
        lambda a: a.set_pbc((True, True, False)),
        lambda a: a.numbers.__setitem__(0, 32),
    ):
        atoms = frames[0].atoms.copy()
        change(atoms)
        hashes.add(content_hash([Frame(atoms, "set.extxyz", 0), *frames[1:]], labels))
    hashes.add(content_hash(frames, [labels[0]._replace(energy=-1.0), *labels[1:]]))
    hashes.add(content_hash(frames, [labels[0]._replace(forces=labels[0].forces + 1), *labels[1:]]))
    hashes.add(content_hash(frames, [labels[0]._replace(stress=labels[0].stress + 1), *labels[1:]]))
    assert len(hashes) == 9


def test_content_frames_cutoff_and_format_have_their_own_files(labelled_set, tmp_path, monkeypatch):
    frames, labels = labelled_set
    build(labelled_set, [0], tmp_path)
    build(labelled_set, [0], tmp_path, cutoff=4.0)
    build(labelled_set, [1], tmp_path)
    build((frames, [labels[0]._replace(energy=-1.0), *labels[1:]]), [0], tmp_path)
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    build(labelled_set, [0], tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:3],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: whole[:800] + whole[808:],
        lambda whole: b"\0" * 24,
        lambda whole: b"x" * 100,
        lambda whole: whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:],
        lambda whole: whole[:-40] + bytes([whole[-40] ^ 64]) + whole[-39:],
    ],
    ids=["empty", "start", "half", "nearly", "gap", "zeros", "foreign", "bit of a record", "bit of the table"],
)
def test_damaged_cache_file_is_made_again(labelled_set, tmp_path, caplog, damage):
    build(labelled_set, [0, 1], tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.unlink()  # truncating a file that is mapped would be fatal
    path.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        assert_same(build(labelled_set, [0, 1], None), build(labelled_set, [0, 1], tmp_path))
    assert "cannot be read" in caplog.text
    assert path.read_bytes() == whole


def test_what_a_killed_process_left_is_removed(labelled_set, tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    left, others = (tmp_path / f"graphs-{socket.gethostname()}-{pid}-x.tmp" for pid in (gone.pid, os.getppid()))
    elsewhere = tmp_path / f"graphs-elsewhere-{gone.pid}-x.tmp"
    for file in (left, others, elsewhere):
        file.touch()
    build(labelled_set, [0], tmp_path)
    assert sorted(tmp_path.glob("*.tmp")) == sorted([others, elsewhere])


def test_folder_that_cannot_be_written_costs_only_a_warning(labelled_set, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        graphs = build(labelled_set, [0, 1], tmp_path / "file" / "cache")
    assert_same(graphs, build(labelled_set, [0, 1], None))
    assert "cannot be cached" in caplog.text
