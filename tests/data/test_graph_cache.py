import logging

import numpy as np
import pytest
import torch

from scalarpath.data import cache
from scalarpath.data.cache import build_graphs, content_hash
from scalarpath.data.labels import LabelSpec, extract_labels, find_keys
from scalarpath.data.reading import Frame
from scalarpath.graph import AtomicGraph


@pytest.fixture
def labelled_set(make_silicon):
    frames = [Frame(atoms, "set.extxyz", k) for k, atoms in enumerate(make_silicon(4))]
    frames[2].atoms.calc.results.pop("stress")
    spec = LabelSpec()
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


def test_cached_graphs_are_the_fresh_ones(labelled_set, tmp_path, monkeypatch):
    frames, labels = labelled_set
    fresh = build_graphs(frames, labels, [3, 0, 2], 5.0, None)
    assert [int(graph.frame) for graph in fresh] == [3, 0, 2]
    assert_same(fresh, build_graphs(frames, labels, [3, 0, 2], 5.0, tmp_path))
    monkeypatch.setattr(AtomicGraph, "from_atoms", lambda *_, **__: pytest.fail("the cache was not used"))
    assert_same(fresh, build_graphs(frames, labels, [3, 0, 2], 5.0, tmp_path))


def test_cache_file_is_plain_tensors(labelled_set, tmp_path):
    build_graphs(*labelled_set, [0, 1], 5.0, tmp_path)
    (path,) = tmp_path.iterdir()  # one file, nothing temporary left
    assert all(torch.is_tensor(value) for value in torch.load(path, weights_only=True).values())


def test_any_change_of_content_changes_the_hash(labelled_set):
    frames, labels = labelled_set
    base = content_hash(frames, labels)
    assert base == content_hash([Frame(f.atoms.copy(), "elsewhere", 9) for f in frames], labels)
    hashes = {base, content_hash(frames[::-1], labels[::-1]), content_hash(frames, labels, ("cutoff", 5.0))}
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
    assert len(hashes) == 10


def test_cutoff_and_format_have_their_own_files(labelled_set, tmp_path, monkeypatch):
    build_graphs(*labelled_set, [0], 5.0, tmp_path)
    build_graphs(*labelled_set, [0], 4.0, tmp_path)
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    build_graphs(*labelled_set, [0], 5.0, tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_damaged_cache_file_is_made_again(labelled_set, tmp_path, caplog):
    fresh = build_graphs(*labelled_set, [0, 1], 5.0, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        assert_same(fresh, build_graphs(*labelled_set, [0, 1], 5.0, tmp_path))
    assert "cannot be read" in caplog.text
    assert path.read_bytes() == whole


def test_folder_that_cannot_be_written_costs_only_a_warning(labelled_set, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        graphs = build_graphs(*labelled_set, [0, 1], 5.0, tmp_path / "file" / "cache")
    assert len(graphs) == 2
    assert "cannot be cached" in caplog.text
