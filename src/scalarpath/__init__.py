"""scalarpath: compare scalar pathways of equivariant interatomic potentials on equal terms.

The package imports nothing heavy at the top level, so that ``--help`` and configuration errors are instant.
"""

__version__ = "0.1.0"
