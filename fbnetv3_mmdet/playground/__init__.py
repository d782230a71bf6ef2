"""The Model Playground: a page to set, train, watch, compare and ship.

Three kinds of processes: the page's server, which imports no PyTorch; an
engine, which has it, for checks and single detections; and jobs, each under a
supervisor of its own, which go on without a page. What is known of a run lies
in its folder.
"""
