"""What a test error does not show: repulsion, phonons, elasticity, smoothness, energy drift, liquid structure.

Every measure is a pure function of an ASE calculator, a settings dataclass and, where it compares, a reference; it
returns a dataclass of plain numbers with the unit in each name. Nothing here imports torch, so that any calculator can
be measured.
"""
