"""A discriminator behind a real `mlflow models serve`, requests to it, and what it says."""

import base64
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fig.discriminator import Card, Discriminator, save
from fig.stages.support.trainer import write_history
from support.processes import free_port, run_server

BIN = Path(sys.executable).parent


def write_discriminator(small: Discriminator, where: Path) -> Path:
    """The folder of a discriminator that was not evaluated yet, below `where`."""
    folder = where / "results/tiny/discriminators/stripes/resnet18/fig/0"
    folder.mkdir(parents=True)
    card = Card(small.architecture, "stripes", "fig", 0, "0123456789abcdef", class_names=("horizontal", "vertical"))
    save(folder, small, card)
    write_history(folder / "history.csv", [{"iteration": 0, "time": 0.0}])
    return folder


@contextmanager
def served(model: str, where: Path) -> Iterator[str]:
    """A real `mlflow models serve` of a model in the database of `where`: the address that takes requests."""
    port = free_port()
    command = [BIN / "mlflow", "models", "serve", "-m", model, "--env-manager", "local", "--port", str(port)]
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", "MLFLOW_TRACKING_URI": "sqlite:///results/mlflow.db"}
    with run_server(command, f"http://127.0.0.1:{port}/ping", where, **own):
        yield f"http://127.0.0.1:{port}/invocations"


def ask(address: str, **body: object) -> dict[str, NDArray]:
    """What a served model says of a request."""
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return {name: np.array(values) for name, values in json.load(response)["predictions"].items()}


def refused(address: str, **body: object) -> tuple[int, str]:
    """Status and message of the refusal of a request."""
    with pytest.raises(urllib.error.HTTPError) as error:
        ask(address, **body)
    return error.value.code, json.load(error.value)["message"]


def png(image: NDArray, kind: str = "PNG") -> str:
    """An image as base64."""
    file = BytesIO()
    Image.fromarray(image).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()
