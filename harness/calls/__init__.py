"""What runs inside a worker, by what it is asked: to save, to load, to measure. `harness.worker` finds them by name."""
