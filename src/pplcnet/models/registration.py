"""Lets Keras load saved models of this package after `import pplcnet`, in any import order.

Keras only resolves other packages' layers if they are registered with it, and registering needs
Keras, which `import pplcnet` does not load. So the layers are registered at once if Keras is
already loaded, and otherwise as soon as it is imported.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # these take longer than the rest of `import pplcnet`
    from collections.abc import Sequence
    from importlib.abc import Loader, MetaPathFinder
    from importlib.machinery import ModuleSpec
    from types import ModuleType
else:
    Loader = MetaPathFinder = object

__all__ = ["register_with_keras"]

LAYERS = ("pplcnet.models.layers", "pplcnet.models.boxes")


def register_with_keras() -> None:
    """Import the layers, which registers them, now or as soon as Keras is imported."""
    if sys.modules.get("keras") is not None:  # a None entry forbids the import
        _register()
    elif not any(isinstance(each, _KerasFinder) for each in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


def _register() -> None:
    for module in LAYERS:
        importlib.import_module(module)


class _KerasFinder(MetaPathFinder):
    """Finds Keras through the other finders, and adds a step to its loading."""

    def __init__(self) -> None:
        self.is_asking_others = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "keras" or self.is_asking_others or fullname in sys.modules:
            return None
        self.is_asking_others = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.is_asking_others = False
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, self)
        return spec


class _RegisteringLoader(Loader):
    """Keras' own loader; afterwards the layers are registered and this hook is gone."""

    def __init__(self, inner: Any, finder: _KerasFinder) -> None:
        self.inner = inner
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self.inner.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.inner
        module.__loader__ = self.inner
        self.inner.exec_module(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)
        _register()
