"""The transmitter's networks: state-space scan, Mamba blocks, the encoder and the matching reconstruction decoder."""
