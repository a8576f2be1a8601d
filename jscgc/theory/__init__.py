"""What the theory says, measured through the code that trains and samples: `jscgc theory`.

Gaussian sources, linear encoders and AWGN: there every optimum, posterior and bit is known in closed form.
"""

from jscgc.theory.check import Check
from jscgc.theory.run import CHECKS, run

__all__ = ["CHECKS", "Check", "run"]
