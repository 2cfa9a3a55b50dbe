"""Speed and memory against the upstream packages on the same weights, each package in its own environment."""
