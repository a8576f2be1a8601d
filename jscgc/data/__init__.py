"""Photographs: where they come from, how they are split and prepared, and random crops of them.

builtin, downloads, folders -> splits.collect -> prepared.prepare -> prepared.split_files -> crops.CropSampler
"""
