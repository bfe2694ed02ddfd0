"""Fields from the command line, and their help."""

from __future__ import annotations

from pplcnet.recipe.settings import field_help, parse_setting


def test_a_field_that_may_be_absent_can_be_set_to_none() -> None:
    assert parse_setting("test_image_size=none") == ("test_image_size", None)
    assert parse_setting("augment=none") == ("augment", "none")


def test_the_help_names_every_allowed_value() -> None:
    for name, values in {
        "precision": ("float32", "mixed_bfloat16", "mixed_float16"),
        "class_weights": ("none", "balanced"),
        "interpolation": ("pillow-bicubic", "opencv-bilinear"),
    }.items():
        assert all(value in field_help()[name] for value in values)
