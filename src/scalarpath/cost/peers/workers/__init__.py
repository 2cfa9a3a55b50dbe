"""Scripts that run in the environments of the peers (and in ours): they import each other by file, never scalarpath."""
