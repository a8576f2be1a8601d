"""The wireless link: symbols and their accounting, channels, equalisation.

Symbols are complex tensors [B, c, h, w]: c channel uses at each position of the 1/16 grid, k = c h w uses per image.
"""
