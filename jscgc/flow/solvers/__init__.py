"""The solvers that there are, a file each; a new file is a new solver (see `flow.solver`). Reading them imports no torch.

ODE (paper, eq. 15, T = 1): dx/dt = nu. SDE (eq. 10): dx = [2 nu - f] dt + g dw with f = -x / (1 - t), g^2 = 2t / (1 - t),
run backwards in time. Both have the law of the data at t = 0 if nu is exact.
"""
