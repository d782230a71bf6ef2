"""Speed and memory of detectors, all engines side by side: ``make bench``."""
