"""The symmetric contraction of MACE."""
