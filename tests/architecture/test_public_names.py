"""The public names: one sorted table, all of them there, and the error tree as it is drawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pplcnet
from pplcnet import errors


def test_public_names_are_sorted_and_load() -> None:
    assert pplcnet.__all__ == sorted(pplcnet.__all__)
    assert set(pplcnet.__all__) == set(pplcnet._PLACES)
    for name in pplcnet.__all__:
        assert getattr(pplcnet, name).__doc__
    assert dir(pplcnet) == pplcnet.__all__


def test_no_folder_has_the_name_of_a_public_function() -> None:
    # Importing from pplcnet.export would put the folder in place of the function.
    folders = {each.name for each in Path(pplcnet.__file__).parent.iterdir() if each.is_dir()}
    assert folders & set(pplcnet.__all__) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'classify'"):
        pplcnet.classify  # noqa: B018


def test_the_error_tree_is_as_its_docstring_draws_it() -> None:
    drawn = re.findall(r"── (\w+)(?: \((\w+)\))?", errors.__doc__)
    assert len(drawn) == 13
    for name, builtin in drawn:
        kind = getattr(errors, name)
        assert issubclass(kind, errors.PPLCNetError)
        if builtin:
            assert builtin in [each.__name__ for each in kind.__mro__]
    for name in errors.__all__:
        assert hasattr(errors, name)
    assert errors.__all__ == sorted(errors.__all__)


def test_a_missing_library_names_the_command_that_installs_it() -> None:
    with pytest.raises(errors.MissingDependencyError, match=r"pip install 'pplcnet\[train\]'"):
        errors.require("no_such_library", purpose="this test", extra="train")
