"""Training: settings and their checks, faults, averages, hooks, logs."""
