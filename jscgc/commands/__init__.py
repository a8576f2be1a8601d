"""Commands that are no folder's own: arguments, and what is printed.

`demo`, `sweep`, `report`, `bench` and `metrics` have theirs with them; what `evaluate` prints is here, because evaluation knows
nothing of the report.
"""
