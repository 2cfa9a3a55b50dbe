"""Labelling structures with density-functional theory or xTB: the recipe of every bundled data set.

Needs the optional engines (``pip install 'scalarpath[labelling]'``), which are imported only when a label is
made. Nothing else in the package imports this one, and nothing here imports torch.
"""
