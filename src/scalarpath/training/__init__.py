"""Training: losses, metrics, the Lightning module and its callbacks, run directories, and the whole job."""
