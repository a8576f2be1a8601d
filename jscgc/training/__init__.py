"""One training loop for everything that is trained: checkpoints, exact resume, averaged weights."""
