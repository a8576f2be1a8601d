"""One file per metric, or per family of them, with its declaration beside it: `jscgc.metrics.registry` finds them here.

A new file is a new metric. Its top imports no torch: what there is must be told quickly.
"""
