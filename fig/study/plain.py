"""A YAML file as plain values; what would be read as something else than it says, or as too much, is refused."""

import re
from pathlib import Path
from typing import NoReturn, cast

import yaml

from fig.settings import Json
from fig.study.config import ConfigError

LARGEST = 2**18  # bytes of a file, and characters of it with its aliases written out
DEEPEST = 50  # collections within each other
LONGEST = 200  # characters of a key, digits of a number
SURPRISING = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")  # octal, or of base 60
KINDS = {"bool": "true or false", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}


class Collection:
    """A list or mapping that is being read: the characters in it, its keys, and whether a key comes next."""

    def __init__(self, anchor: str | None = None, mapping: bool = False) -> None:
        self.anchor, self.mapping, self.key_next = anchor, mapping, mapping
        self.size, self.keys = 1, set[str]()


class Check:
    """Goes through a text in YAML before anything is built of it."""

    def __init__(self, text: str) -> None:
        self.events = yaml.CSafeLoader(text)
        self.around = [Collection()]  # what the next event is in, outermost first
        self.sizes = dict[str | None, int]()  # characters of what has an anchor

    def run(self) -> None:
        """Raise NotPlainError, a sentence and its place, for the first thing that is not plain."""
        while self.events.check_event():
            event = self.events.get_event()
            if isinstance(event, yaml.CollectionEndEvent):
                ended = self.around.pop()
                self.add(ended.size, ended.anchor, event)
            elif isinstance(event, yaml.DocumentEndEvent) and not self.events.check_event(yaml.StreamEndEvent):
                refuse("a second document begins: a study is one", event)
            elif isinstance(event, yaml.NodeEvent):
                self.begin(event)

    def begin(self, event: yaml.NodeEvent) -> None:
        """Check what begins, and add it to what it is in."""
        outer = self.around[-1]
        if outer.key_next:
            self.check_key(event, outer)
        outer.key_next = outer.mapping and not outer.key_next
        if tag := getattr(event, "tag", None):
            refuse(f"the tag {tag} is not read: leave it out", event)
        if isinstance(event, yaml.AliasEvent):
            if any(each.anchor == event.anchor for each in self.around):
                refuse(f"*{event.anchor} is within what it names: write it out", event)
            self.add(self.sizes.get(event.anchor, 1), None, event)
        elif isinstance(event, yaml.ScalarEvent):
            self.check_number(event)
            self.add(len(event.value) + 1, event.anchor, event)
        elif len(self.around) > DEEPEST:
            refuse(f"more than {DEEPEST} lists and mappings are within each other: a study has a few", event)
        else:
            self.around.append(Collection(event.anchor, isinstance(event, yaml.MappingStartEvent)))

    def add(self, size: int, anchor: str | None, event: yaml.Event) -> None:
        """Count what has ended."""
        self.sizes[anchor] = size
        self.around[-1].size += size
        if self.around[-1].size > LARGEST:
            refuse(f"with its aliases written out it has more than {LARGEST:,} characters: repeat less", event)

    def kind_of(self, event: yaml.ScalarEvent) -> str:
        """What YAML reads a scalar as."""
        kind: str = self.events.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        return kind.rpartition(":")[2]

    def check_key(self, event: yaml.NodeEvent, outer: Collection) -> None:
        """Check a key of a mapping: a short text that is not there yet."""
        if not isinstance(event, yaml.ScalarEvent):
            refuse("a key is a list, a mapping or an alias: it must be a text", event)
        if (kind := self.kind_of(event)) not in ("str", "merge"):
            refuse(f"the key {event.value[:20]} is read as {KINDS.get(kind, kind)}: put it in quotes", event)
        if len(event.value) > LONGEST or not event.value.isprintable():
            refuse(f"the key {event.value[:20]!r}… must be of one line of at most {LONGEST} characters", event)
        if event.value in outer.keys:
            refuse(f"the key {event.value} is stated twice: keep one", event)
        outer.keys.add(event.value)

    def check_number(self, event: yaml.ScalarEvent) -> None:
        """Check that a number is the one that people read."""
        if self.kind_of(event) not in ("int", "float"):
            return
        if len(event.value) > LONGEST:
            refuse(f"a number has {len(event.value)} digits: it may have {LONGEST}", event)
        if SURPRISING.fullmatch(event.value):
            read = yaml.safe_load(event.value)
            refuse(f"{event.value} is read as {read}: write a number without leading zeros and colons", event)


class NotPlainError(yaml.MarkedYAMLError):
    """What YAML allows and a study does not: a sentence with its remedy, and its place."""


def refuse(sentence: str, event: yaml.Event) -> NoReturn:
    """Raise NotPlainError with a sentence and the event's place."""
    raise NotPlainError(problem=sentence, problem_mark=cast(yaml.error.Mark, event.start_mark))


def read_plain(path: Path) -> Json:
    """What a YAML file states; raises ConfigError naming the file, the line and the remedy where it is not plain."""
    if not path.is_file():
        raise ConfigError(f"{path} is no file: name a file in YAML that says the study")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ConfigError(f"{path} has more than {LARGEST:,} bytes: is it a study? The largest of ours has 7,000")
    try:
        return parse_plain(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        what = f"{error.reason} at byte {error.start}"
        raise ConfigError(f"{path} is no text in UTF-8 ({what}): save it as text in UTF-8") from None


def parse_override(value: Json, where: str) -> Json:
    """Return a value of Snakemake's --config with the types that YAML gives it: Snakemake leaves texts in lists."""
    if isinstance(value, list):
        return [parse_override(each, where) for each in value]
    if isinstance(value, dict):
        return {name: parse_override(each, where) for name, each in value.items()}
    return parse_plain(value, where) if isinstance(value, str) else value


def parse_plain(text: str, where: str) -> Json:
    """The value that a text in YAML states; raises ConfigError where it is not plain."""
    try:
        Check(text).run()
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        lines = text.splitlines() or [""]
        line = min(error.problem_mark.line if error.problem_mark else 0, len(lines) - 1)
        more = (
            "indent with blanks, not with tabs"
            if "\t" in lines[line]
            else "is a quote, bracket, colon or blank missing?"
        )
        sentence = error.problem if isinstance(error, NotPlainError) else f"{error.problem}: {more}"
        raise ConfigError(f"{where}, line {line + 1}: {sentence}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is no text ({' '.join(str(error).split())}): save it as text in UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{where} holds an invalid date ({error}): put it in quotes") from None
