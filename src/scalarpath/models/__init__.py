"""Trained potentials in use: exported to one file, and predictions for files of structures."""
