"""Many runs: which a sweep has, a worker's share of a machine, several processes, kept states, files from the hub."""
