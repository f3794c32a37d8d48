"""Requests to a served model that are mostly none: what hypothesis draws them from."""

import base64
import json

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from support.serving import png

SIZE = 16  # pixels a side that the model wants
JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NAMES = st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
SIDES = st.sampled_from([0, 1, 3, SIZE - 1, SIZE])
SHAPES = st.one_of(
    st.just((2, SIZE, SIZE, 3)),
    st.tuples(SIDES, SIDES, SIDES, st.sampled_from([0, 1, 3, 4])),
    arrays.array_shapes(),
)
NUMBERS = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float64": st.floats(),
    "uint8": st.integers(0, 255),
    "bool": st.booleans(),
}
PIXELS = st.sampled_from(list(NUMBERS)).flatmap(
    lambda kind: arrays.arrays(kind, SHAPES, elements=NUMBERS[kind], fill=NUMBERS[kind]).map(np.ndarray.tolist)
)
PICTURE = base64.b64decode(png(np.zeros((SIZE, SIZE, 3), np.uint8)))


def damage(place: int, data: bytes) -> bytes:
    """Give the picture with other bytes at a place."""
    return PICTURE[:place] + data + PICTURE[place + len(data) :]


def encode(data: bytes) -> str:
    """Give bytes as base64."""
    return base64.b64encode(data).decode()


DAMAGED = st.builds(damage, st.integers(0, len(PICTURE)), st.binary(max_size=8)).map(encode)
IMAGE = st.one_of(DAMAGED, st.binary(max_size=40).map(encode), ANYTHING, PIXELS)
COLUMN = st.sampled_from(["image", "images", ""])
COLUMNS, ROWS = st.lists(COLUMN, max_size=2), st.lists(st.lists(IMAGE, max_size=2), max_size=3)
LIST = st.one_of(PIXELS, st.lists(IMAGE, max_size=3), ANYTHING)
DATA = {
    "inputs": LIST,
    "instances": LIST,
    "dataframe_records": st.lists(st.dictionaries(COLUMN, IMAGE, max_size=2), max_size=3) | ANYTHING,
    "dataframe_split": st.fixed_dictionaries({"columns": COLUMNS, "data": ROWS}) | ANYTHING,
}
MORE = {"params": st.fixed_dictionaries({"id_acceptance": SCALARS}) | ANYTHING, "other": ANYTHING}
OBJECTS = st.one_of(
    *(st.fixed_dictionaries({name: data}, optional=MORE) for name, data in DATA.items()),
    st.fixed_dictionaries({}, optional=DATA | MORE),
)
TEXTS = st.one_of(OBJECTS, ANYTHING).map(json.dumps).map(str.encode)
REQUESTS = st.one_of(  # a body and what kind it is said to be
    st.tuples(TEXTS, st.just(JSON)),
    st.tuples(TEXTS, st.just(JSON)),
    st.tuples(st.binary(max_size=200), st.sampled_from([JSON, CSV, PARQUET, "text/plain", None])),
)
