"""Words to labels: "green critter on purple" is class critters, color green, background purple.

A label table has a name and values. The rules, which know no model:

1. Case, hyphens, blanks and a final plural s do not matter: "Voxel bots" is voxel-bot. The longest match wins.
2. A value that only one table has goes to that table.
3. A value that several tables have goes to `background` after "on", "against", "over", "in front of", "with" or
   "background" and just before "background" or "backdrop"; elsewhere it goes to the first other table that has it, as
   it does in "with a green critter".
4. A table's own name just before or after a value picks the table: "color green", "green color".
5. FILLERS mean nothing, commas and stops part what rules 3 and 4 would join. All other words are unknown and are
   reported. Two values for one table are an error.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fewstep.engine.bundle_manifest import LabelTable
from fewstep.engine.checks import short
from fewstep.errors import InputError

MAX_PROMPT = 32_000
MAX_LISTED = 40
COMMA, STOPS = ",", ",.;!?\n"
WORD = r"[^\W_]+"
WORD_OR_STOP = rf"{WORD}|[{STOPS}]"
BACKGROUND = "background"
WITH = "with"
MARKERS = frozenset({"on", "against", WITH, "over", "before", "front"})
FILLERS = frozenset(
    {"a", "an", "the", "and", "of", "in", "is", "it", "its", "some", "one", "picture", "image", "cartoon"}
)
ALIASES = {"backdrop": BACKGROUND, "colour": "color", "colored": "color", "coloured": "color"}


@dataclass(frozen=True)
class Parsed:
    """labels: table name -> value; unknown_words: as written, in order, each once."""

    labels: dict[str, str]
    unknown_words: tuple[str, ...]


@dataclass(frozen=True)
class _Value:
    value: str
    tables: tuple[str, ...]


class Vocabulary:
    def __init__(self, tables: Sequence[LabelTable]) -> None:
        self.tables = tuple(tables)
        self._names = frozenset(table.name.lower() for table in self.tables)
        self._values: dict[str, _Value] = {}
        for table in self.tables:
            for value in table.values:
                known = self._values.get(_key(value), _Value(value, ()))
                self._values[_key(value)] = _Value(known.value, (*known.tables, table.name))
        self._longest = max((len(re.findall(WORD, v.value)) for v in self._values.values()), default=1)

    def parse(self, prompt: str) -> Parsed:
        """Read a prompt by the module's rules. Raises InputError if it is no text or no word of it is a value."""
        words = [COMMA if word in STOPS else word for word in re.findall(WORD_OR_STOP, _text("prompt", prompt))]
        tokens = list(self._tokens(words))
        labels: dict[str, str] = {}
        for i, token in enumerate(tokens):
            if isinstance(token, _Value):
                table = self._table_of(token, tokens, i)
                if labels.setdefault(table, token.value) != token.value:
                    raise InputError(f"the prompt says both {labels[table]} and {token.value} for {table}; choose one")
        if not labels:
            raise InputError(f"no word of the prompt {short(prompt)} is known; {self.describe()}")
        unknown = [word for word in tokens if isinstance(word, str) and not self._known(word.lower())]
        return Parsed(labels, tuple(dict.fromkeys(unknown)))

    def resolve(self, label: object) -> dict[str, str]:
        """A value's name, or a mapping of table names to values, as table name -> value. Raises InputError."""
        if isinstance(label, str):
            return self._resolve_name(label)
        if not isinstance(label, Mapping):
            raise InputError(
                f"label: expected a name or a mapping of tables to values, got {short(label)}; {self.describe()}"
            )
        labels: dict[str, str] = {}
        for name, given in label.items():
            table = self._table(name)
            value = self._value(table, given)
            if labels.setdefault(table.name, value) != value:
                raise InputError(f"the label says both {labels[table.name]} and {value} for {table.name}; choose one")
        return labels

    def indices(self, labels: Mapping[str, str]) -> list[int | None]:
        """The row of each table, None where `labels` has no value."""
        return [t.values.index(labels[t.name]) if t.name in labels else None for t in self.tables]

    def describe(self) -> str:
        """One line that lists everything a prompt may say."""
        return "the vocabulary is " + "; ".join(f"{t.name}: {_listed(t.values)}" for t in self.tables)

    def _resolve_name(self, name: str) -> dict[str, str]:
        found = self._values.get(_key(_text("label", name)))
        if found is None:
            raise InputError(f"unknown label {short(name)}{self._nearest(name)}; {self.describe()}")
        if len(found.tables) > 1:
            ways = " or ".join(f"{table}={found.value}" for table in found.tables)
            raise InputError(f"label {found.value!r} may mean {' or '.join(found.tables)}; say {ways}")
        return {found.tables[0]: found.value}

    def _table(self, name: object) -> LabelTable:
        for table in self.tables:
            if isinstance(name, str) and ALIASES.get(name.lower(), name.lower()) == table.name.lower():
                return table
        raise InputError(f"unknown label table {short(name)}; expected {', '.join(t.name for t in self.tables)}")

    def _value(self, table: LabelTable, value: object) -> str:
        for known in table.values:
            if isinstance(value, str) and _key(value) == _key(known):
                return known
        nearest = self._nearest(value, table.values)
        raise InputError(f"unknown {table.name} {short(value)}{nearest}; expected {_listed(table.values)}")

    def _nearest(self, name: object, values: Sequence[str] = ()) -> str:
        names = values or [v.value for v in self._values.values()]
        close = difflib.get_close_matches(name[:100].lower(), names, n=2) if isinstance(name, str) else []
        return f", did you mean {' or '.join(close)}?" if close else ""

    def _known(self, word: str) -> bool:
        return word in MARKERS | FILLERS | {COMMA} or ALIASES.get(word, word) in {BACKGROUND, *self._names}

    def _tokens(self, words: Sequence[str]) -> Iterator[str | _Value]:
        start = 0
        while start < len(words):
            for end in range(min(len(words), start + self._longest), start, -1):
                found = None if COMMA in words[start:end] else self._values.get(_key("".join(words[start:end])))
                if found:
                    yield found
                    start = end
                    break
            else:
                yield words[start]
                start += 1

    def _table_of(self, token: _Value, tokens: Sequence[str | _Value], i: int) -> str:
        asked = self._asked_table(token, tokens, i)
        if asked in token.tables:
            return asked
        table = next((name for name in token.tables if name != BACKGROUND), token.tables[0])
        if asked == BACKGROUND and self._is_like_background(table):
            raise InputError(f"background cannot be {token.value}; expected {_listed(self._table(asked).values)}")
        return table

    def _asked_table(self, token: _Value, tokens: Sequence[str | _Value], i: int) -> str:
        """The table that the words around value i ask for, or nothing."""
        if _word(tokens, i + 1) in self._names:
            return _word(tokens, i + 1)
        before, earlier = _word(tokens, i - 1), tokens[i - 2] if i > 1 else ""
        if before in self._names and not (isinstance(earlier, _Value) and before in earlier.tables):
            return before
        marker = _marker(tokens, i) if BACKGROUND in self._names else ""
        return "" if marker == WITH and self._is_subject(tokens[i + 1 : i + 2]) else BACKGROUND if marker else ""

    def _is_subject(self, tokens: Sequence[str | _Value]) -> bool:
        return any(
            isinstance(token, _Value) and not any(self._is_like_background(name) for name in token.tables)
            for token in tokens
        )

    def _is_like_background(self, name: str) -> bool:
        """Whether a table shares values with the background, as colours do and subjects do not."""
        return not set(self._table(name).values).isdisjoint(self._table(BACKGROUND).values)


def _marker(tokens: Sequence[str | _Value], i: int) -> str:
    """The marker before value i, with nothing but fillers between, or nothing."""
    for token in (tokens[j] for j in range(i - 1, -1, -1)):
        if not isinstance(token, str) or token.lower() not in FILLERS | MARKERS:
            return ""
        if token.lower() in MARKERS:
            return token.lower()
    return ""


def _word(tokens: Sequence[str | _Value], i: int) -> str:
    """The plain word at i in lower case with aliases replaced, or nothing."""
    token = tokens[i] if 0 <= i < len(tokens) else ""
    return ALIASES.get(token.lower(), token.lower()) if isinstance(token, str) else ""


def _key(text: str) -> str:
    """Words run together in lower case without a final plural s."""
    joined = "".join(re.findall(WORD, unicodedata.normalize("NFKC", text))).casefold()
    return joined[:-1] if len(joined) > 3 and joined.endswith("s") and not joined.endswith("ss") else joined


def _text(name: str, text: object) -> str:
    if not isinstance(text, str):
        raise InputError(f"{name}: expected text, got {short(text)} of type {type(text).__name__}")
    if len(text) > MAX_PROMPT:
        raise InputError(f"{name}: expected at most {MAX_PROMPT} characters, got {len(text)}")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"{name}: expected Unicode text, got a NUL character or a lone surrogate")
    return text


def _listed(values: Sequence[str]) -> str:
    more = f" and {len(values) - MAX_LISTED} more" if len(values) > MAX_LISTED else ""
    return ", ".join(values[:MAX_LISTED]) + more
