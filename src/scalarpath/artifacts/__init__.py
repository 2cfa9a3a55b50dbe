"""What a test error does not show: repulsion, phonons, elasticity, smoothness, energy drift, liquid structure.

A measure (``measure.py``) is one file of ``measures/``: what can be set, how it is measured, its rows in the table, its
figure, and what the paper claims of it. It measures any ASE calculator; results are dataclasses of plain numbers with
the unit in each name. ``registry.py`` lists the measures; everything else goes through that list. Nothing here imports
torch.
"""
