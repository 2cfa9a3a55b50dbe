"""What a run is: its job, its directory, its processes, and sweeps of runs."""
