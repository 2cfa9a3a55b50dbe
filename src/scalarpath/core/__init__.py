"""What every room may import: errors, units, settings, files. Nothing here imports torch."""
