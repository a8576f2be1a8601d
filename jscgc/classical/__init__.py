"""Separation of source and channel coding: image codecs, and 5G's LDPC codes with QAM.

    photo -> codecs (a file that fits) -> ldpc (transport block on symbols) -> channel -> ldpc -> codecs -> photo

`mcs` chooses modulation and code rate from the link's law and average SNR, by what `finite_length` says QAM can carry.
"""
