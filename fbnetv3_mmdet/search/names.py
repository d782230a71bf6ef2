"""Names of what a search leaves in its folder; the page reads some of it."""

TRIALS = 'trials.jsonl'  # the state: all that has been asked and answered
BEST = 'best.py'
FRONT = 'front'
TABLE = 'search.md'
PICTURE = 'pareto.png'
PREDICTIONS = 'predictor.png'
CANDIDATES = 'candidates.json'
