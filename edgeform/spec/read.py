"""Files into values with positions. Problems become diagnostics; nothing is raised.

YAML 1.2 core schema over libyaml's event stream, read with a stack of our own: depth and size are
bounded before anything grows. Refused on purpose: duplicate keys, anchors, aliases, tags, merge keys.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from edgeform.diagnostics import Diagnostic
from edgeform.spec import codes_file as ef
from edgeform.spec.codes import Code
from edgeform.spec.nodes import (
    COLUMN_BITS,
    Block,
    Items,
    Scalar,
    SourceFile,
    Value,
    pack,
    unpack,
)
from edgeform.spec.scalars import NotARealNumber, plain

MAX_BYTES = 8 * 1024 * 1024
MAX_NODES = 1_000_000
MAX_DEPTH = 64
MAX_PROBLEMS = 100
DROPPED = "\x00"
"""Stands for a key that was refused; its value is left out."""

_START = (MappingStartEvent, SequenceStartEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document: its value and where it begins."""

    value: Value
    source: SourceFile
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a file held. `is_whole` is false where a syntax error or a limit ended it early."""

    source: SourceFile
    documents: tuple[Document, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    is_whole: bool = True
    content: bytes = b""


def read_file(path: Path, shown: str) -> Reading:
    """The documents of a file, or a diagnostic that says why there are none."""
    source = SourceFile(shown)
    place = source.source(1, 1)
    try:
        if path.is_file():
            size = path.stat().st_size
            if size > MAX_BYTES:
                detail = f"{size:,} bytes, and a file may have {MAX_BYTES:,}."
                hint = "Split it: every *.yaml file of the site is read."
                return _refused(source, ef.TOO_LARGE.at(place, detail, hint=hint))
            with path.open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
        elif path.exists():
            return _refused(source, ef.UNREADABLE.at(place, "It is not an ordinary file."))
        else:
            return _refused(source, ef.UNREADABLE.at(place, "There is no such file."))
    except OSError as exc:
        return _refused(source, ef.UNREADABLE.at(place, f"{exc.strerror or exc}."))
    return read_bytes(content, shown)


def read_bytes(content: bytes, shown: str) -> Reading:
    """The documents of a file's bytes."""
    source = SourceFile(shown)
    try:
        source.text = content.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        column = exc.start - content.rfind(b"\n", 0, exc.start)
        byte = content[exc.start]
        found = ef.NOT_TEXT.at(source.source(line, column), f"Byte 0x{byte:02x} is not UTF-8.")
        return _refused(source, found)
    return _Reader(source, content).read()


def _refused(source: SourceFile, *problems: Diagnostic) -> Reading:
    return Reading(source=source, diagnostics=problems, is_whole=False)


class _TooMuch(Exception):
    """Leaves the event loop, never this module."""


class _Frame:
    """A container under construction."""

    __slots__ = ("block", "items", "key", "key_place", "marks", "start")

    def __init__(self, block: Block | None, items: Items | None, start: int) -> None:
        self.block = block
        self.items = items
        self.start = start
        self.marks: list[int] = []
        self.key: str | None = None
        self.key_place = 0


class _Reader:
    def __init__(self, source: SourceFile, content: bytes) -> None:
        self.source = source
        self.content = content
        self.problems: list[Diagnostic] = []
        self.documents: list[Document] = []
        self.nodes = 0
        self.dropped = 0

    def read(self) -> Reading:
        is_whole = True
        loader = yaml.CSafeLoader(self.source.text)
        try:
            self._events(loader)
        except yaml.YAMLError as exc:
            is_whole = False
            self.problems.append(_syntax(self.source, exc))
        except _TooMuch:
            is_whole = False
        finally:
            loader.dispose()
        if self.dropped:
            detail = f"{self.dropped} more in this file."
            self.problems.append(ef.TOO_MANY.at(self.source.source(1, 1), detail))
        if is_whole and not self.documents and not self.problems:
            detail = "No object stands in this file."
            self.problems.append(ef.EMPTY_FILE.at(self.source.source(1, 1), detail))
        return Reading(
            source=self.source,
            documents=tuple(self.documents),
            diagnostics=tuple(self.problems),
            is_whole=is_whole,
            content=self.content,
        )

    def problem(self, code: Code, place: int, detail: str, *, hint: str = "") -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            self.dropped += 1
            return
        self.problems.append(code.at(self.source.source(*unpack(place)), detail, hint=hint))

    def _events(self, loader: yaml.CSafeLoader) -> None:  # noqa: C901, PLR0912, PLR0915 - the hot loop, flat on purpose
        stack: list[_Frame] = []
        values: dict[str, Scalar] = {}
        next_event = loader.get_event
        while True:
            event: Any = next_event()  # the stubs make it Event | None; its type is checked here
            kind = type(event)
            mark = event.start_mark
            value: Value
            if kind is ScalarEvent:
                self.nodes += 1
                place = mark.line << COLUMN_BITS | mark.column
                if self.nodes > MAX_NODES:
                    self._refuse_size(0, place)
                frame = stack[-1] if stack else None
                if event.anchor is not None or event.tag is not None:
                    self._refuse_decoration(event, place)
                text, style = event.value, event.style
                if frame is not None and frame.block is not None and frame.key is None:
                    if text == "<<" or text in frame.block:
                        self._doubt_key(frame, text, style, place)
                    frame.key = text
                    frame.key_place = place
                    continue
                if style or event.tag is not None:
                    value = text
                elif text in values:
                    value = values[text]
                else:
                    value = values[text] = self._plain(text, place)
            elif kind in _START:
                self.nodes += 1
                place = pack(mark.line, mark.column)
                if event.anchor is not None or event.tag is not None:
                    self._refuse_decoration(event, place)
                if len(stack) >= MAX_DEPTH or self.nodes > MAX_NODES:
                    self._refuse_size(len(stack), place)
                is_map = kind is MappingStartEvent
                stack.append(
                    _Frame(Block() if is_map else None, None if is_map else Items(), place)
                )
                if len(stack) > 1 and stack[-2].block is not None and stack[-2].key is None:
                    detail = "A mapping's key is a text; this one is a list or a mapping."
                    hint = "Quote texts that begin with a brace or a bracket."
                    self.problem(ef.KEY_NOT_TEXT, place, detail, hint=hint)
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                frame = stack.pop()
                place = frame.start
                value = self._finished(frame)
                if stack and stack[-1].block is not None and stack[-1].key is None:
                    stack[-1].key = DROPPED  # refused when it began
                    continue
            elif kind is AliasEvent:
                place = pack(mark.line, mark.column)
                self.problem(ef.ALIAS, place, f"*{event.anchor} is an alias.")
                frame = stack[-1] if stack else None
                if frame is not None and frame.block is not None and frame.key is None:
                    frame.key = DROPPED
                    continue
                value = None
            elif kind is StreamEndEvent:
                return
            elif kind is DocumentStartEvent or kind is DocumentEndEvent:
                continue
            else:
                continue
            if not stack:
                if value is not None:  # an empty document is no document
                    self.documents.append(Document(value=value, source=self.source, place=place))
                continue
            self._put(stack[-1], value, place)

    def _put(self, frame: _Frame, value: Value, place: int) -> None:
        container: Block | Items
        if frame.items is not None:
            container = frame.items
            container.append(value)
            frame.marks.append(place)
        elif frame.block is not None and frame.key is not None:
            container = frame.block
            key, frame.key = frame.key, None
            if key in container or key is DROPPED:
                return
            container[key] = value
            frame.marks += (frame.key_place, place)
        else:
            return
        if type(value) is str:
            if "${" in value:
                container.is_dynamic = True
        elif value is None:
            container.has_null = True
        elif isinstance(value, (Block, Items)):
            container.is_dynamic |= value.is_dynamic
            container.has_null |= value.has_null

    def _finished(self, frame: _Frame) -> Block | Items:
        places = self.source.places
        container: Block | Items
        if frame.block is not None:
            container = frame.block
        else:
            assert frame.items is not None  # noqa: S101 - a frame holds one of the two
            container = frame.items
        container.source = self.source
        container.start = frame.start
        container.at = len(places)
        places.extend(frame.marks)
        return container

    def _doubt_key(self, frame: _Frame, text: str, style: str, place: int) -> None:
        if text == "<<" and not style:
            self.problem(ef.MERGE_KEY, place, "`<<` merges mappings in YAML 1.1 only.")
        if frame.block is not None and text in frame.block:
            first = list(frame.block).index(text)
            line, column = unpack(frame.marks[2 * first])
            self.problem(ef.DUPLICATE_KEY, place, f"{text!r} already stands at {line}:{column}.")

    def _plain(self, text: str, place: int) -> Scalar:
        try:
            return plain(text)
        except NotARealNumber:
            self.problem(ef.NOT_A_NUMBER, place, f"{text:.40} cannot be used as a number.")
            return 1  # the least likely to be refused a second time

    def _refuse_decoration(self, event: yaml.NodeEvent, place: int) -> None:
        if event.anchor is not None:
            self.problem(ef.ALIAS, place, f"&{event.anchor} is an anchor.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            hint = "A secret is written {secret: provider/path#key}." if tag == "!secret" else ""
            self.problem(ef.TAG, place, f"{shown:.60} is a tag.", hint=hint)

    def _refuse_size(self, depth: int, place: int) -> None:
        if depth >= MAX_DEPTH:
            self.problem(
                ef.TOO_DEEP, place, f"This is level {depth + 1}, and {MAX_DEPTH} is the last."
            )
        else:
            self.problem(ef.TOO_LARGE, place, f"More than {MAX_NODES:,} values in one file.")
        raise _TooMuch


_CONFLICT = re.compile(r"^(?:<{7} |>{7} |={7}$)", re.MULTILINE)
_PLAINER = {
    "found character that cannot start any token": (
        "A value cannot begin with {character}.",
        "Quote the text.",
    ),
    "mapping values are not allowed in this context": (
        "A `: ` stands where no key can be.",
        "Quote texts that hold `: `, and check the indentation.",
    ),
    "did not find expected <document start>": (
        "Something stands behind the end of the document.",
        "Separate documents by a line `---`.",
    ),
    "did not find expected key": (
        "A key was expected here.",
        "Check the indentation and the closing brackets.",
    ),
}


def _syntax(source: SourceFile, exc: yaml.YAMLError) -> Diagnostic:
    if isinstance(exc, yaml.reader.ReaderError):
        text = source.text[: exc.position]
        line = text.count("\n") + 1
        column = len(text) - (text.rfind("\n") + 1) + 1
        character = exc.character if isinstance(exc.character, int) else ord(exc.character[:1])
        detail = f"Character U+{character:04X} may not stand in a YAML file."
        return ef.NOT_TEXT.at(source.source(line, column, 1), detail)
    if not isinstance(exc, yaml.MarkedYAMLError) or exc.problem_mark is None:
        return ef.SYNTAX.at(source.source(1, 1), f"{exc}.")
    conflict = _CONFLICT.search(source.text)
    if conflict is not None:
        line = source.text.count("\n", 0, conflict.start()) + 1
        hint = "Decide for one side, and remove the marks."
        return ef.SYNTAX.at(source.source(line, 1), "A merge left its conflict marks.", hint=hint)
    line, column = exc.problem_mark.line + 1, exc.problem_mark.column + 1
    place = source.source(line, column, 1)
    found = place.line_text[column - 1 : column]
    if found == "\t":
        hint = "Indent with spaces."
        return ef.SYNTAX.at(place, "A tab cannot indent, and no value begins with one.", hint=hint)
    problem = exc.problem or "not YAML"
    detail, hint = _PLAINER.get(problem, (problem[:1].upper() + problem[1:] + ".", ""))
    detail = detail.replace("{character}", repr(found))
    if exc.context not in (None, "while scanning for the next token") and exc.context_mark:
        begun = f"{exc.context_mark.line + 1}:{exc.context_mark.column + 1}"
        detail += f" ({exc.context[:1].upper()}{exc.context[1:]} that began at {begun}.)"
    return ef.SYNTAX.at(place, detail, hint=hint)
