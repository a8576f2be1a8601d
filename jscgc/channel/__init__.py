"""The wireless link: symbols and their accounting, channels, equalisation.

Symbols are complex tensors [B, c, h, w]: c data symbols at each position of the 1/16 grid, c h w per image; k is that
and what the channel charges beside them.

    spec (text) -> kinds (declarations) -> channels: flat (AWGN, fading), multipath (3GPP over OFDM: ofdm, estimation)
    -> receiver; base (what a channel is), capacity (what it can carry), noise, accounting
"""
