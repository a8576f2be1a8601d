"""The channels that there are, a file each or for each family with one law; a new file is a new channel.

Reading them imports no torch: what a channel does is imported where it is made.
"""
