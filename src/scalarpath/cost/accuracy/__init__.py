"""Time to accuracy: the same architecture trained on the same frames by upstream's own commands and by scalarpath."""
