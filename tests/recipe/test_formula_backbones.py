"""Files of any kind, asked whether they are backbones by `pplcnet pretrain`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pplcnet.recipe.formula_backbones import is_formula_backbone
from pplcnet.recipe.recipe import Recipe
from pplcnet.recipe.starts import recipe_by_start

ABOUT = b'{"format": 1, "network": "pplcnet_x0_25", "made_with": {}}'


def _write(path: Path, about: bytes) -> None:
    np.savez(path, about=np.frombuffer(about, np.uint8), weights=np.zeros(3, np.float16))


def test_a_file_by_pretrain_takes_the_recipe_of_the_shipped_backbone(tmp_path: Path) -> None:
    path = str(tmp_path / "own.npz")
    _write(Path(path), ABOUT)
    assert is_formula_backbone(path)
    assert recipe_by_start({"weights": path}) == Recipe.named("fractal").changed({"weights": path})


@pytest.mark.parametrize(
    "about",
    [b"", b"{", b"[1]", b'{"format": 2}', b"[" * 60_000, ABOUT + b" " * (1 << 20)],
    ids=["empty", "cut off", "a list", "later format", "nested", "long"],
)
def test_other_descriptions_are_not(tmp_path: Path, about: bytes) -> None:
    _write(tmp_path / "w.npz", about)
    assert not is_formula_backbone(str(tmp_path / "w.npz"))


def test_other_files_and_values_are_not(tmp_path: Path) -> None:
    plain, cut, pickled = (tmp_path / f"{name}.npz" for name in ("plain", "cut", "pickled"))
    np.savez(plain, weights=np.zeros(3))
    cut.write_bytes(plain.read_bytes()[:50])
    np.savez(pickled, about=np.array({"format": 1}, dtype=object))
    with zipfile.ZipFile(tmp_path / "flipped.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.npy", bytes(100))
    damaged = bytearray((tmp_path / "flipped.npz").read_bytes())
    damaged[45:55] = b"\xff" * 10
    (tmp_path / "flipped.npz").write_bytes(damaged)
    for name in ("plain", "cut", "pickled", "flipped", "missing"):
        assert not is_formula_backbone(str(tmp_path / f"{name}.npz"))
    for value in (None, "fractal", "imagenet", 3, str(tmp_path), "a\0.npz"):
        assert not is_formula_backbone(value)
