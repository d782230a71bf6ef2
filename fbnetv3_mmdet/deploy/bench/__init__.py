"""Speed and memory of detectors, engine by engine in one run."""
