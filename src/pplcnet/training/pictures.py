"""The pictures that training needs of each photo, made while the audit has it decoded.

Training sees the same pixels whether a picture was made here or later from the file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from pathlib import Path

from pplcnet.imaging.decoding import Decoded
from pplcnet.imaging.kept import kept_side, shrink_for_crops
from pplcnet.imaging.preprocessing import Preprocessing
from pplcnet.recipe.recipe import Recipe
from pplcnet.training.image_cache import ImageCache

__all__ = ["drop_unneeded", "picture_keeper", "preprocessing_of", "side_of"]


def preprocessing_of(recipe: Recipe) -> Preprocessing:
    """The preprocessing that belongs to what this recipe trains."""
    return Preprocessing(
        image_size=recipe.test_image_size or recipe.image_size,
        resize=recipe.resize,
        crop_fraction=recipe.crop_fraction,
        interpolation=recipe.interpolation,
    )


def side_of(recipe: Recipe) -> int:
    """The short side, in pixels, of the pictures that this recipe takes its crops from."""
    if recipe.options.crops_by_area:
        return kept_side(recipe.image_size, recipe.crop_scale[0])
    # Crops have the same resolution as evaluation.
    return kept_side(recipe.test_image_size or recipe.image_size, 1.0)


def picture_keeper(recipe: Recipe, image_cache: ImageCache) -> Callable[[Path, Decoded], None]:
    """A callback for the audit's images, shrunk by `divisor_for_crops` for `side_of`.

    It caches, as long as there is room, what training and validation will ask for: until the splits
    are drawn, an image may be in either.
    """
    preprocessing, side = preprocessing_of(recipe), side_of(recipe)

    def keep(path: Path, decoded: Decoded) -> None:
        image_cache.keep((path, side), shrink_for_crops(decoded, side))
        validated = preprocessing.reuse(decoded)
        if validated is not None:
            image_cache.keep((path, preprocessing), validated)

    return keep


def drop_unneeded(
    image_cache: ImageCache, training: Collection[Path], validation: Collection[Path]
) -> None:
    """Drop the pictures that no epoch will ask for, once the splits are known."""
    trained, validated = frozenset(training), frozenset(validation)

    def is_unneeded(key: Hashable) -> bool:
        path, use = key if isinstance(key, tuple) else (key, None)
        return path not in (validated if isinstance(use, Preprocessing) else trained)

    image_cache.drop(is_unneeded)
