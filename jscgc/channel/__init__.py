"""The wireless link: symbols and their accounting, channels, equalisation.

Symbols are complex tensors [B, c, h, w]: c data symbols at each position of the 1/16 grid, c h w per image; k is that
and what the channel charges beside them.

    spec (text) -> channels (AWGN, flat fading), multipath (3GPP over OFDM: ofdm, estimation) -> receiver; noise, accounting
"""
