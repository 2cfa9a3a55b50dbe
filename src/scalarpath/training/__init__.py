"""Training: losses, metrics, the Lightning module and its callbacks."""
