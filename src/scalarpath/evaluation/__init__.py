"""Measuring what exists: test errors and physical artifacts of finished runs, artifacts of any ASE calculator."""
