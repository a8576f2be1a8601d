"""Joint Source-Channel-Generation Coding (arXiv 2606.12858): photo -> latent -> symbols -> channel -> sampled photo.

The tree is the block diagram:

    photo -> latent/ -> encoder/ -> channel/ -> generator/ + flow/ -> latent/ -> received photo
             |________________ one System (systems/): photo in, received photo out ________________|
"""

__version__ = "0.1.0"
