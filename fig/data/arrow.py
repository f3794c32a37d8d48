"""Tables in Arrow's formats: Parquet files, and Hugging Face data sets that `save_to_disk` wrote."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

from fig.data.archives import LARGEST
from fig.data.catalogue import SAVED, Recipe
from fig.data.listing import NONE, Listing, number_labels, place_below
from fig.data.loading import RATIO
from fig.data.tables import find_image_column, find_label_column, list_named
from fig.extras import import_extra
from fig.intact import DOWNLOAD, explain_damage
from fig.settings import Json

STATE = "state of a saved data set"


@dataclass(frozen=True)
class Columns:
    """The columns of a table in pieces of some rows, of which images are read one at a time."""

    path: Path
    schema: Json  # pyarrow's
    lengths: Sequence[int]  # rows of each piece
    read: Callable[[int, str], Json]  # a column of a piece, as pyarrow has it

    def piece(self, number: int, column: str) -> Json:
        """A column of a piece; raises ValueError naming the file where it is damaged."""
        with explain_damage(self.path, "table", DOWNLOAD):
            return self.read(number, column)

    def whole(self, column: str) -> list[Json]:
        """All values of a column."""
        return [value for number in range(len(self.lengths)) for value in self.piece(number, column).to_pylist()]

    def lookup(self, column: str) -> Callable[[int], Json]:
        """What gives a column's value by its row; one piece is kept in memory."""
        ends = list(accumulate(self.lengths))
        piece = lru_cache(1)(lambda number: self.piece(number, column))

        def value(row: int) -> Json:
            number = bisect_right(ends, row)
            return piece(number)[row - ends[number] + self.lengths[number]].as_py()

        return value


@contextmanager
def parquet_table(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """A Parquet file with a column of paths or of encoded images, and one of labels."""
    parquet = import_extra("pyarrow.parquet")
    if files[-1].exists() and not files[-1].is_file():
        raise ValueError(f"{files[-1]} is no file")
    with explain_damage(files[-1], "Parquet file", DOWNLOAD):
        table = parquet.ParquetFile(files[-1], memory_map=True)
    with table as file:
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        lengths = [group.num_rows for group in groups]
        for group in groups:
            check_size(files[-1], group)
        pieces = Columns(
            files[-1],
            file.schema_arrow,
            lengths,
            lambda number, column: file.read_row_group(number, columns=[column]).column(0),
        )
        with list_columns(pieces, files, recipe) as listing:
            yield listing


def check_size(path: Path, group: Json) -> None:
    """Raise ValueError for a group of rows that unpacks to far more than its size."""
    packed = sum(group.column(number).total_compressed_size for number in range(group.num_columns))
    if group.total_byte_size > max(LARGEST, RATIO * packed):
        many = f"{group.total_byte_size} bytes, above {RATIO} times its {packed}"
        raise ValueError(f"{path} is refused: a group of its rows would unpack to {many}: write smaller groups")


@contextmanager
def saved_dataset(files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """A Hugging Face `Dataset` as `save_to_disk` writes it, or the split of a `DatasetDict` that has the recipe's name.

    Another split is stated as `under`: each is a folder inside.
    """
    pyarrow = import_extra("pyarrow")
    folder = find_split(files[0] / recipe.under, recipe.split)
    with explain_damage(folder / "state.json", STATE, DOWNLOAD):
        state = json.loads((folder / "state.json").read_text())
        stated = [str(file["filename"]) for file in state["_data_files"]]
    if state.get("_indices_data_files"):
        raise ValueError(f"{folder} was saved with an index of its rows by an old version of datasets: save it again")
    tables = []
    for name in place_below(folder, "", stated, folder / "state.json"):
        with explain_damage(folder / name, "table", DOWNLOAD):
            tables.append(pyarrow.ipc.open_stream(pyarrow.memory_map(str(folder / name))).read_all())
    if not tables:
        raise ValueError(f"{folder} holds no images")
    batches = [batch for table in tables for batch in table.to_batches()]
    pieces = Columns(
        folder,
        tables[0].schema,
        [batch.num_rows for batch in batches],
        lambda number, column: batches[number].column(column),
    )
    with list_columns(pieces, [folder, folder], recipe) as listing:
        yield listing


def find_split(folder: Path, split: str) -> Path:
    """The folder of a saved data set, or of a split of several; raises FileNotFoundError naming those in it."""
    one, several = (folder / name for name in SAVED)
    if one.exists():
        return folder
    if not several.exists():
        raise FileNotFoundError(f"{folder} is no Hugging Face data set that save_to_disk wrote: it has no {one.name}")
    with explain_damage(several, STATE, DOWNLOAD):
        splits = [str(name) for name in json.loads(several.read_text())["splits"]]
    if split not in splits:
        raise FileNotFoundError(f"{folder} has no split {split}, only {', '.join(splits)}: state one of them as under")
    return folder / split


@contextmanager
def list_columns(columns: Columns, files: Sequence[Path], recipe: Recipe) -> Iterator[Listing]:
    """The images and labels in a table's columns; images are paths, encoded images, or Hugging Face's two in one."""
    types = import_extra("pyarrow").types
    with explain_damage(columns.path, "table", DOWNLOAD):
        names, features = columns.schema.names, read_features(columns.schema)
    images = [name for name in names if features.get(name, {}).get("_type") == "Image"]
    image = (
        images[0] if len(images) == 1 and not recipe.image_column else find_image_column(recipe, names, columns.path)
    )
    labels, classes = number_column(columns, recipe, features)
    kind = columns.schema.field(image).type
    value, count = columns.lookup(image), sum(columns.lengths)
    both = types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind}
    if both and count and value(0)["bytes"] is None:
        paths = [each["path"] for each in columns.whole(image)]
    elif both or types.is_binary(kind) or types.is_large_binary(kind):
        shown = [f"{columns.path}[{row}]" for row in range(count)]
        yield Listing(shown, lambda row: encoded_image(value(row)), labels, classes)
        return
    elif str(kind).endswith("string") or types.is_dictionary(kind):
        paths = columns.whole(image)
    else:
        raise ValueError(f"{columns.path}: the column {image} is of type {kind}, neither paths nor encoded images")
    with list_named(files, recipe.under, paths, labels, classes) as listing:
        yield listing


def encoded_image(value: Json) -> bytes:
    """Return an encoded image from a table's value, which may include its path; empty bytes if it is missing."""
    found: bytes | None = value["bytes"] if isinstance(value, Mapping) else value
    return found or b""


def read_features(schema: Json) -> Mapping[str, Mapping[str, Json]]:
    """What Hugging Face's `datasets` writes of the columns into a table's head, by their names."""
    stated = (schema.metadata or {}).get(b"huggingface")
    features: Mapping[str, Mapping[str, Json]] = json.loads(stated)["info"]["features"] if stated else {}
    return {name: dict(feature) for name, feature in features.items()}


def number_column(
    columns: Columns, recipe: Recipe, features: Mapping[str, Mapping[str, Json]]
) -> tuple[list[int], list[str]]:
    """Return the labels of a table and the names of their classes; both empty without such a column."""
    named = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    single = named[0] if len(named) == 1 and not recipe.label_column else ""
    label = single or find_label_column(recipe, columns.schema.names, columns.path)
    if not label:
        return [], []
    labels = columns.whole(label)
    if label not in named:
        return number_labels(labels)
    classes: list[str] = features[label]["names"]
    numbers = [NONE if number is None else int(number) for number in labels]
    if wrong := next((number for number in numbers if not NONE <= number < len(classes)), None):
        raise ValueError(f"{columns.path}: {label} is {wrong} in a row, but there are only {len(classes)} classes")
    return numbers, classes
