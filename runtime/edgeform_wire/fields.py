"""Reading fields out of a received JSON object, each proven once, with the field named on error.

`Fields` is the only place where untyped JSON turns into typed values on the wire.
"""

from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, TypeVar

from edgeform_wire import digest as digests
from edgeform_wire.errors import WireError

T = TypeVar("T")


class Fields:
    """A received JSON object whose fields are taken out one by one.

    `done()` refuses what nobody asked for, so an unknown field is an error and not a silent loss.
    """

    def __init__(self, value: Any, what: str) -> None:
        if not isinstance(value, dict):
            raise WireError(f"{what} is not an object")
        self._left: Dict[str, Any] = dict(value)
        self._what = what

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise WireError(f"{self._what}: field {name!r} is missing")
        return self._left.pop(name)

    def _wrong(self, name: str, expected: str, value: Any) -> WireError:
        return WireError(f"{self._what}.{name}: expected {expected}, got {value!r:.80}")

    def text(self, name: str, default: Optional[str] = None) -> str:
        if default is not None and name not in self._left:
            return default
        value = self._take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "text", value)
        return value

    def optional_text(self, name: str) -> Optional[str]:
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "text or null", value)
        return value

    def choice(self, name: str, among: Iterable[str]) -> str:
        value = self._take(name)
        if value not in tuple(among):
            raise self._wrong(name, "one of " + ", ".join(among), value)
        return str(value)

    def integer(self, name: str, minimum: int = 0, default: Optional[int] = None) -> int:
        if default is not None and name not in self._left:
            return default
        value = self._take(name)
        if type(value) is not int or value < minimum:
            raise self._wrong(name, f"an integer of at least {minimum}", value)
        return value

    def optional_integer(self, name: str, minimum: int = 0) -> Optional[int]:
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.integer(name, minimum)

    def number(self, name: str, default: Optional[float] = None) -> float:
        if default is not None and name not in self._left:
            return default
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._wrong(name, "a number", value)
        return float(value)

    def optional_number(self, name: str) -> Optional[float]:
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.number(name)

    def boolean(self, name: str, *, default: Optional[bool] = None) -> bool:
        if default is not None and name not in self._left:
            return default
        value = self._take(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def digest(self, name: str) -> str:
        return digests.parse(self._take(name), f"{self._what}.{name}")

    def optional_digest(self, name: str) -> Optional[str]:
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.digest(name)

    def object(self, name: str, default: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        if default is not None and name not in self._left:
            return default
        value = self._take(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return value

    def each(
        self, name: str, read: Callable[[Any, str], T], *, default: bool = False
    ) -> Tuple[T, ...]:
        """Every element of a list, read by `read(value, what)`; a missing list is empty if allowed."""
        if default and name not in self._left:
            return ()
        value = self._take(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list", value)
        return tuple(read(item, f"{self._what}.{name}[{n}]") for n, item in enumerate(value))

    def texts(self, name: str, *, default: bool = False) -> Tuple[str, ...]:
        return self.each(name, _text, default=default)

    def done(self) -> None:
        """Refuse fields nobody asked for."""
        unknown: List[str] = sorted(self._left)
        if unknown:
            raise WireError(f"{self._what}: unknown field {unknown[0]!r}")


def schema_of(value: Any, expected: str, what: str) -> Fields:
    """The fields of a document that says which schema it follows, when it is the expected one."""
    fields = Fields(value, what)
    found = fields.text("schema")
    if found != expected:
        raise WireError(f"{what}: schema {found!r}, this side speaks {expected!r}")
    return fields


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise WireError(f"{what}: expected text, got {value!r:.80}")
    return value
