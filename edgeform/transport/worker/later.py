"""Libraries that a library imports at its top and hardly ever uses: imported when they are."""

import importlib
import sys
from types import ModuleType
from typing import Any


class Later(ModuleType):
    """Stands for a module until something of it is asked for; then it is the real one's."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def import_later(name: str) -> None:
    """Leave a module out of this process until it is used; one that is here already stays."""
    sys.modules.setdefault(name, Later(name))
