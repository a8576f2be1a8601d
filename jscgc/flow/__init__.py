"""Flow matching as mathematics on any velocity field; no network is known here.

Time has one direction in the whole code base, the paper's: t = 0 is data, t = 1 (T = 1) is noise.
"""
