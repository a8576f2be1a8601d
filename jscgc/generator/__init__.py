"""The receiver's networks: flow-matching backbones over diffusers, and the communication-aware adapter."""
