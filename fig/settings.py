"""Settings as they come from a file or a command line, checked once and turned into dataclasses."""

import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import dacite

T = typing.TypeVar("T")


def settings_of(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """An instance of the dataclass `cls` from `values`; `where` names them in an error.

    Raises ValueError naming the key where one is unknown or of a wrong type, and what is allowed.
    """
    try:
        return dacite.from_dict(cls, dict(values), dacite.Config(strict=True, cast=[tuple, float]))
    except dacite.UnexpectedDataError as error:
        allowed = ", ".join(field.name for field in fields(cls))
        raise ValueError(f"{where}.{', '.join(sorted(error.keys))} is not known: allowed are {allowed}") from None
    except dacite.DaciteFieldError as error:
        raise ValueError(f"{where}: {error}") from None
