"""The backbones that there are, a file each; a new file is a new backbone (see `generator.backbones`).

Reading them imports no torch: what a backbone is made of is imported where it is made.
"""
