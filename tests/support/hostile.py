"""Files that somebody damaged or made to do harm, and what every refusal of one must be."""

import io
import os
import pickle
import re
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

later = partial(os.mkdir, "it-ran")


def leave_file(path: str) -> Path:
    """Leave a file, as a factory that does harm would."""
    Path(path).touch()
    return Path(path)


class Harmful:
    """What runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch it-ran",)


def saved(held: object, **options: bool) -> bytes:
    """What torch.save writes."""
    file = io.BytesIO()
    torch.save(held, file, **options)
    return file.getvalue()


def repacked(content: bytes, size: int) -> bytes:
    """A checkpoint whose parts are compressed and whose weights unpack to `size` zeros."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, bytes(size) if part.endswith("data/0") else old.read(part))
    return file.getvalue()


def zipped(**parts: bytes) -> bytes:
    """A zip file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def array(values: np.ndarray) -> bytes:
    """A .npy file."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


DAMAGED_JSON: dict[str, str | bytes] = {
    "empty": "",
    "null": "null",
    "a list": "[1]",
    "a text": '"stage"',
    "truncated": '{"stage": "fine',
    "bytes": bytes(range(128, 256)),
    "nested": "[" * 10**6,
    "nested objects": '{"a":' * 10**5,
    "a long number": '{"stage": ' + "1" * 5000 + "}",
}
WEIGHTS = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
GOOD = saved(WEIGHTS)
CHECKPOINTS: dict[str, tuple[bytes | None, str]] = {  # of a linear layer: the content, and what is said of it
    "a pickle that runs a command": (pickle.dumps(Harmful()), "is no weights file .*; save the weights alone"),
    "a checkpoint that runs a command": (saved(Harmful()), "it names posix.system, which is code, .*only tensors"),
    "an old one that does": (saved(Harmful(), _use_new_zipfile_serialization=False), "it names posix.system"),
    "one among weights": (saved({**WEIGHTS, "x": Harmful()}), "it names posix.system, which is code"),
    "one below state_dict": (saved({"state_dict": WEIGHTS, "x": Harmful()}), "it names posix.system, which is code"),
    "a whole network": (saved(torch.nn.Linear(2, 2)), "it names torch.nn.modules.linear.Linear, which is code"),
    "truncated": (GOOD[:-100], "it is truncated; save the weights alone"),
    "half": (GOOD[: len(GOOD) // 2], "it is truncated"),
    "empty": (b"", "it is empty"),
    "a folder": (None, "it is a folder"),
    "text": (b"not weights at all", "its content is neither"),
    "random": (bytes(reversed(range(256))), "is no weights file"),
    "GGUF": (b"GGUF" + bytes(64), "it is a GGUF file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(64), "it is an HDF5 file, as Keras writes them"),
    "NumPy": (array(np.zeros(3)), "it is an array of NumPy"),
    "TorchScript": (zipped(**{"m/data.pkl": b"", "m/constants.pkl": b""}), "it is a program of TorchScript"),
    "another zip": (zipped(a=b"b"), "it is a zip file that PyTorch did not write"),
    "a bomb": (repacked(GOOD, 10**8), "its parts are compressed, as PyTorch writes none"),
    "a list": (saved([torch.zeros(2)]), "it holds other things"),
    "numbers": (saved({"weight": 1.0}), "it holds other things"),
    "numbered weights": (saved({1: torch.zeros(2)}), "it holds other things"),
    "weights without values": (saved({"weight": torch.zeros(2, 2, device="meta")}), "it holds other things"),
    "sparse weights": (saved({**WEIGHTS, "weight": torch.eye(2).to_sparse()}), "it holds other things"),
    "nan": (saved({**WEIGHTS, "bias": torch.tensor([0, torch.nan])}), "holds a bias that is not finite"),
    "complex": (saved({**WEIGHTS, "bias": torch.zeros(2) * 1j}), "its bias is of torch.complex64, not torch.float32"),
    "a huge view": (saved({**WEIGHTS, "bias": torch.zeros(1).expand(10**12)}), r"its bias is \(1000000000000,\), not"),
    "a part": (saved({"weight": WEIGHTS["weight"]}), "does not fit the network: it lacks bias"),
    "another": (saved({**WEIGHTS, "gamma": torch.ones(1)}), "it has gamma, unknown to the network"),
    "safetensors, truncated": (save(WEIGHTS)[:-1], "is no weights file .*; copy it again, or make it again"),
    "safetensors, nan": (save({**WEIGHTS, "bias": torch.full((2,), torch.nan)}), "holds a bias that is not finite"),
    "safetensors, a pickle": (pickle.dumps(Harmful()), "is no weights file"),
}


def files_below(folder: Path) -> dict[str, bytes]:
    """The files below a folder with their content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_sentence(error: BaseException, sentence: str, name: str) -> None:
    """Assert that an error is one line that names the file or key, and says what it should."""
    message = str(error)
    assert "\n" not in message and name in message and len(message) < 600, message
    assert re.search(sentence, message), message


def put(path: Path, content: str | bytes) -> None:
    """Write a text or bytes into a file."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
