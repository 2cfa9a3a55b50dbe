"""One file per measure, and beside them the longer computations that they use."""
