"""Photographs: where they come from, how they are split and prepared, and random crops of them.

    builtin, downloads, folders -> splits.collect -> prepared.prepare -> prepared.split_files -> crops.CropSampler

Importing this package is cheap: neither torch nor scikit-image nor scikit-learn is imported by it.
"""

from jscgc.data.crops import CropSampler, random_crop
from jscgc.data.images import (
    PhotoError,
    find_photos,
    open_photo,
    read_photo,
    reduce,
    save_png,
    to_photo,
    to_png,
    to_tensor,
)
from jscgc.data.photo import SPLITS, Photo, Split
from jscgc.data.prepared import iter_split, load_split, prepare, read_manifest, scenes, split_files
from jscgc.data.splits import Collection, collect

__all__ = [
    "SPLITS",
    "Collection",
    "CropSampler",
    "Photo",
    "PhotoError",
    "Split",
    "collect",
    "find_photos",
    "iter_split",
    "load_split",
    "open_photo",
    "prepare",
    "random_crop",
    "read_manifest",
    "read_photo",
    "reduce",
    "save_png",
    "scenes",
    "split_files",
    "to_photo",
    "to_png",
    "to_tensor",
]
