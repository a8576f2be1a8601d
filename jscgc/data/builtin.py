"""The photographs that come inside scikit-image and scikit-learn: real data without a download.

Neither package is imported: finding a file takes milliseconds, importing them seconds.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from jscgc.config import ParamsError
from jscgc.data.photo import Photo, Split

_FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
"""Distribution -> import name and the folder of photographs inside it."""

_TEST = {"coffee", "chelsea", "rocket"}
_VALIDATION = {"flower"}

# name, file, scene, licence as the packages' own documentation states it: the docstrings in skimage/data/_fetchers.py
# and sklearn/datasets/images/README.txt.
_SKIMAGE = "scikit-image"
_SKLEARN = "scikit-learn"
_MOTORCYCLE = (
    "no licence stated in scikit-image's documentation; part of the Middlebury 2014 stereo benchmark (Nesic, Westling, "
    "Wang, Kitajima, Krathwohl, Scharstein; GCPR 2014)"
)
_CHINA = "CC BY 2.0, some rights reserved by danielbuechele, https://www.flickr.com/photos/danielbuechele/6061409035"
_FLOWER = (
    "CC BY 2.0, some rights reserved; scikit-learn's README attributes it to danielbuechele and links "
    "https://www.flickr.com/photos/vultilion/6056698931"
)
_PHOTOS = (
    (_SKIMAGE, "astronaut", "astronaut.png", "astronaut", "public domain, no known copyright restrictions (NASA)"),
    (_SKIMAGE, "coffee", "coffee.png", "coffee", "CC0 by the photographer (Rachel Michetti)"),
    (_SKIMAGE, "chelsea", "chelsea.png", "chelsea", "CC0 by the photographer (Stefan van der Walt)"),
    (_SKIMAGE, "rocket", "rocket.jpg", "rocket", "released in the public domain by SpaceX"),
    (_SKIMAGE, "motorcycle_left", "motorcycle_left.png", "motorcycle", _MOTORCYCLE),
    (_SKIMAGE, "motorcycle_right", "motorcycle_right.png", "motorcycle", _MOTORCYCLE),
    (_SKIMAGE, "retina", "retina.jpg", "retina", "CC0 1.0 Universal Public Domain Dedication (Mikael Häggström)"),
    (_SKIMAGE, "hubble_deep_field", "hubble_deep_field.jpg", "hubble_deep_field",
     "captured by NASA, may be freely used in the public domain"),
    (_SKIMAGE, "ihc", "ihc.png", "ihc", "no known copyright restrictions (Center for Microscopy And Molecular Imaging)"),
    (_SKLEARN, "china", "china.jpg", "china", _CHINA),
    (_SKLEARN, "flower", "flower.jpg", "flower", _FLOWER),
)  # fmt: skip


def builtin_photos() -> list[Photo]:
    """The eleven built-in colour photographs with their fixed split.

    Test: coffee, chelsea, rocket. Validation: flower. Train: the rest, with both views of the motorcycle, which are
    one scene.

    Raises:
        ParamsError: a package or one of its photographs is missing.
    """
    photos = []
    for package, name, file, scene, licence in _PHOTOS:
        origin = f"{package}: {'/'.join(_FOLDERS[package])}/{file}"
        photos.append(Photo(name, _locate(package, file), scene, _split(name), origin, licence))
    return photos


def _split(name: str) -> Split:
    return "test" if name in _TEST else "validation" if name in _VALIDATION else "train"


def _locate(package: str, file: str) -> Path:
    module, folder = _FOLDERS[package]
    spec = find_spec(module)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(location, folder, file)
        if path.is_file():
            return path
    raise ParamsError(
        f"data.source builtin: {file} is not in the installed {package}; reinstall it (pip install --force-reinstall "
        f"{package}) or use data.source: folder"
    )
