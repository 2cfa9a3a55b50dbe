"""The label audit: what a data set carries, in which range, and what looks wrong about it.

``audit.labels.audit_labels`` is the way in. Every other module is one question that is put to the labels; what they
find goes into a ``audit.findings.LabelAudit``.
"""
