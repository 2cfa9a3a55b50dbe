"""The label audit: what a data set carries, in which range, and what looks wrong about it.

``audit_labels`` is the way in. Every module is one question that is put to the labels; what they find goes into a
``LabelAudit``.
"""

from scalarpath.data.audit.findings import LabelAudit
from scalarpath.data.audit.labels import audit_labels, note_isolated_atoms, note_references

__all__ = ["LabelAudit", "audit_labels", "note_isolated_atoms", "note_references"]
