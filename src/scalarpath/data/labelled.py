"""The frames of a data set with their labels and the audit of these: what there is before anything is split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalarpath.core.errors import DataError
from scalarpath.core.quantities import QUANTITIES
from scalarpath.core.units import STRESS_ORDERS
from scalarpath.data.audit import LabelAudit, audit_labels, note_isolated_atoms, note_references
from scalarpath.data.config import DataConfig
from scalarpath.data.e0s import isolated_atom_frames
from scalarpath.data.geometry import odd_cells
from scalarpath.data.labels import LabelKeys, Labels, extract_labels, find_keys, refuse_stress
from scalarpath.data.lazy import PackedItems
from scalarpath.data.reading import Frame
from scalarpath.data.sources import LoadedFrames, load_dataset
from scalarpath.data.stress_order import fitting_orders
from scalarpath.graph.neighbours import neighbour_list


class LabelledFrames(NamedTuple):
    """All frames of a data set, their labels, and the audit."""

    loaded: LoadedFrames
    labels: Sequence[Labels]
    audit: LabelAudit


def read_labelled(config: DataConfig, required: frozenset[str] | None = None) -> LabelledFrames:
    """Read and audit a data set; ``required`` are the labels that the loss weighs (None: whatever there is).

    Raises ConfigError or DataError naming file and frame.
    """
    loaded, keys, labels = _read(config, required or frozenset())
    return _audited(loaded, keys, labels, config, labelled_quantities(labels) if required is None else required)


def read_for_training(config: DataConfig, weighed: frozenset[str] = frozenset(QUANTITIES)) -> LabelledFrames:
    """The same where it is not settled what a training will weigh: of ``weighed`` whatever there is.

    A frame that stops such a training stops this.
    """
    loaded, keys, labels = _read(config, frozenset())
    required = labelled_quantities(labels) & weighed
    dropped = next((i for i, label in enumerate(labels) if label.dropped_stress), None)
    if "stress" in required and dropped is not None:
        refuse_stress(loaded.frames[dropped])
    return _audited(loaded, keys, labels, config, required)


def labelled_quantities(labels: Sequence[Labels]) -> frozenset[str]:
    """The quantities of which any frame carries a label."""
    return frozenset(name for name in QUANTITIES if any(label.has(name) for label in labels))


def _read(config: DataConfig, required: frozenset[str]) -> tuple[LoadedFrames, LabelKeys, Sequence[Labels]]:
    loaded = load_dataset(config)
    keys = find_keys(loaded.frames, config)
    return loaded, keys, PackedItems(extract_labels(frame, keys, config, required) for frame in loaded.frames)


def _audited(
    loaded: LoadedFrames, keys: LabelKeys, labels: Sequence[Labels], config: DataConfig, required: frozenset[str]
) -> LabelledFrames:
    audit = audit_labels(loaded.frames, labels, keys, config, required, loaded.notes)
    if odd := odd_cells(loaded.frames):
        audit.suspicions.insert(0, odd)  # first: a stress may look wrong because of it
    _check_order(audit, loaded.frames, labels, config.order_of_six, weighed="stress" in required)
    return LabelledFrames(loaded, labels, audit)


def _check_order(
    audit: LabelAudit, frames: Sequence[Frame], labels: Sequence[Labels], order: str, *, weighed: bool
) -> None:
    first = next((frame for frame, label in zip(frames, labels, strict=True) if label.ordered_stress), None)
    if first is None:
        return
    fitting = fitting_orders(frames, labels, order)
    if not fitting:
        audit.warnings.append(
            f"{first.where}: the six numbers of the stress are read in the order {STRESS_ORDERS[order]}; no frame has "
            "the symmetry that would tell whether it is right, so compare it with your code (data.stress_order)."
        )
    elif order not in fitting:
        orders, settings = (" or ".join(each) for each in ([STRESS_ORDERS[name] for name in fitting], fitting))
        audit.suspect(
            f"{first.file}: six numbers of the stress in the order {STRESS_ORDERS[order]} break the symmetry of the "
            f"structures, and fit it in the order {orders}; set data.stress_order={settings}, or "
            "data.on_suspicious=warn if it is right.",
            weighed=weighed,
        )


def stop_if_suspicious(audit: LabelAudit, config: DataConfig) -> None:
    """Raise DataError with the first suspicion, unless ``data.on_suspicious`` allows them."""
    if audit.suspicions and config.on_suspicious == "error":
        raise DataError(audit.suspicions[0])


def check(config: DataConfig, cutoff: float, weighed: frozenset[str] = frozenset(QUANTITIES)) -> LabelAudit:
    """The audit of a data set and of its structures: what a training with ``cutoff`` (Å) says before it starts.

    Raises as ``read_for_training``, and GraphError for a structure of which no graph can be made; suspicions stop
    nothing.
    """
    loaded, _, audit = read_for_training(config, weighed)
    if references := isolated_atom_frames(loaded.frames, cutoff):
        note_references(audit, [loaded.frames[i] for i in references])
    lonely = {}
    for i, frame in enumerate(loaded.frames):
        neighbours = neighbour_list(frame.atoms, cutoff, frame.where)
        if alone := len(frame.atoms) - len(set(neighbours.edge_index[0].tolist())):
            lonely[i] = alone
    note_isolated_atoms(audit, loaded.frames, lonely, cutoff)
    return audit
