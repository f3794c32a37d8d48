"""The reference of the configuration, made from its types: the tables of config/README.md, and a JSON schema.

`python -m fig.study.reference config/README.md` rewrites the tables between the page's markers;
`python -m fig.study.reference --schema` prints the schema, for editors.
"""

import json
import re
import sys
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Literal

from pydantic.fields import FieldInfo

from fig.data.catalogue import IdDataset, OodSource
from fig.detectors.table import DETECTORS, LIBRARY
from fig.methods.table import METHODS, SECTIONS
from fig.settings import Annotation, Finetuning, Json, Pretraining, adapter_of, bare
from fig.study.config import Blocks, Config, Variant

MARKER = re.compile(r"(<!-- (?P<table>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
APART = {  # blocks whose keys are names, and what each holds
    "datasets": "Your own data sets, or what differs from the catalogue's",
    "detectors": "The detectors in use, each with what differs from its default settings",
    "variants": "Named ways to make discriminators",
    "per_id_dataset": "Settings of trainings and methods that differ on one ID data set",
}


@dataclass(frozen=True)
class KeyRow:
    """A key of the configuration."""

    key: str
    kind: str
    default: str
    about: str


def describe_field(cls: type, name: str) -> str:
    """The sentence about a field, where the class or one that it inherits from has it."""
    for each in cls.__mro__:
        found = getattr(each, "__pydantic_fields__", {}).get(name)
        if found is not None and found.description:
            return str(found.description)
    return ""


def describe_range(metadata: Iterable[object]) -> str:
    """The limits of a number, as pydantic's field has them."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [(sign, getattr(each, name)) for each in metadata for name, sign in signs.items() if hasattr(each, name)]
    return " ".join(f"{sign} {limit:.10g}" for sign, limit in found)


def describe_kind(annotation: object) -> str:
    """A type in a few words."""
    if typing.get_origin(annotation) is typing.Annotated:
        base, *more = typing.get_args(annotation)
        metadata = [each for info in more for each in (info.metadata if isinstance(info, FieldInfo) else [info])]
        return f"{describe_kind(base)} {describe_range(metadata)}".strip()
    if typing.get_origin(annotation) is Literal:
        return " or ".join(f"`{each}`" for each in typing.get_args(annotation) if each)
    origin, arguments = typing.get_origin(annotation), [a for a in typing.get_args(annotation) if a is not type(None)]
    if origin is tuple:
        return f"list of {describe_kind(arguments[0])}"
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return "mapping"
    names: dict[object, str] = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    return describe_kind(arguments[0]) if arguments else names.get(annotation, "mapping")


def describe_default(field: Field[Json]) -> str:
    """The default of a field as YAML has it; empty where it must be stated."""
    info = field.default
    value = info.get_default(call_default_factory=True, validated_data={}) if isinstance(info, FieldInfo) else info
    if not isinstance(value, bool | int | float | str | tuple | dict):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    value = list(value) if isinstance(value, tuple) else value
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return "" if value in ("", [], {}) else f"`{text if len(text) < 40 else text[:36] + ' …'}`"


def list_keys(cls: Annotation, prefix: str = "") -> Iterator[KeyRow]:
    """The keys of a settings class and of those within it."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        key, annotation = f"{prefix}{field.name}", hints[field.name]
        inner = bare(annotation)
        within = next((each for each in (inner, *map(bare, typing.get_args(inner))) if is_dataclass(each)), None)
        if within is None:
            about = describe_field(cls, field.name)
            yield KeyRow(key, describe_kind(annotation), describe_default(field), about)
        else:
            yield from list_keys(within, f"{key}." if within is inner else f"{key}.*.")


def list_all_keys() -> list[KeyRow]:
    """Every key of the configuration; `*` stands for a name or a place in a list."""
    found = list(list_keys(Blocks))
    for section, cls in SECTIONS.items():
        found += list_keys(cls, f"{section}.")
    for row in (*DETECTORS.values(), LIBRARY):
        found += list_keys(row.settings, "detectors.*.")
    found.append(KeyRow("detectors.*.detector", "text", "", "Which detector it is, if its name is your own."))
    for cls in (IdDataset, OodSource):
        found += list_keys(cls, "datasets.*.")
    for name in ("method", "teacher", "base"):
        found.append(KeyRow(f"variants.*.{name}", "text", "", describe_field(Variant, name)))
    return list({row.key: row for row in found}.values())


def make_table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def make_key_table(keys: Iterator[KeyRow] | list[KeyRow]) -> str:
    """The table of some keys."""
    rows = ((f"`{row.key}`", row.kind, row.default, row.about.rstrip(".")) for row in keys)
    return make_table(("key", "value", "default", "meaning"), rows)


def make_tables() -> dict[str, str]:
    """The tables of config/README.md, by the name in their marker."""
    nested = ("networks", "data", "studies", "pretraining", "finetuning", "resources")
    top = [row for row in list_keys(Blocks) if not row.key.startswith(nested)]
    top += [KeyRow(name, "mapping", "", about) for name, about in APART.items()]
    config = {name: list(list_keys(Blocks)) for name in ("networks", "data", "studies", "resources")}
    blocks = {name: [row for row in rows if row.key.startswith(f"{name}.")] for name, rows in config.items()}
    trainings = [*list_keys(Pretraining, "pretraining."), *list_keys(Finetuning, "finetuning.")]
    sections = [row for section, cls in SECTIONS.items() for row in list_keys(cls, f"{section}.")]
    methods = (
        (
            f"`{name}`",
            row.about,
            row.base or "random weights",
            f"`{row.section}`" * bool(row.section),
        )
        for name, row in METHODS.items()
    )
    detectors = (
        (f"`{name}`", row.about, ", ".join(f"`{each.name}`" for each in fields(row.settings)))
        for name, row in DETECTORS.items()
    )
    settings = [row for name, each in DETECTORS.items() for row in list_keys(each.settings, f"detectors.{name}.")]
    return {
        "top": make_key_table(top),
        **{name: make_key_table(rows) for name, rows in blocks.items()},
        "trainings": make_key_table(trainings),
        "sections": make_key_table(sections),
        "methods": make_table(("method", "what it is", "starts from", "section"), methods),
        "detectors": make_table(("detector", "score", "settings"), detectors),
        "settings": make_key_table(settings),
        "iddata": make_key_table(row for row in list_keys(IdDataset) if not row.key.startswith(("train.", "test."))),
        "oodsource": make_key_table(
            row for row in list_keys(OodSource) if not row.key.startswith(("images.", "published."))
        ),
        "part": make_key_table(row for row in list_keys(OodSource, "") if row.key.startswith("images.")),
    }


def fill_page(page: str) -> str:
    """A page with its tables made from the types."""
    tables = make_tables()
    return MARKER.sub(lambda found: f"{found[1]}\n{tables[found['table']]}\n{found[3]}", page)


def make_schema() -> dict[str, Json]:
    """A JSON schema of the configuration, for editors."""
    schema = adapter_of(Blocks).json_schema()
    definitions = schema.setdefault("$defs", {})
    for section, cls in SECTIONS.items():
        own = adapter_of(cls).json_schema()
        definitions.update(own.pop("$defs", {}))
        schema["properties"][section] = own
    described = {each.name: describe_field(Config, each.name) for each in fields(Config)}
    for name, about in APART.items():
        schema["properties"][name] = {"type": "object", "description": described.get(name) or about}
    return schema


def main(*words: str) -> None:
    """Rewrite a page, or print the schema."""
    if words == ("--schema",):
        print(json.dumps(make_schema(), indent=2))
        return
    for path in map(Path, words):
        path.write_text(fill_page(path.read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
