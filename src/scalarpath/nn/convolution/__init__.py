"""Convolutions over neighbours: tensor products of features and harmonics, summed."""
