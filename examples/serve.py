"""Serve a patched classifier behind HTTP: class, OOD score and verdict of images, on ONNX Runtime.

python examples/serve.py [--out FOLDER]                      make a patched classifier, serve it, ask it, and end
python examples/serve.py --out FOLDER --port 8000            serve what is in FOLDER until Ctrl-C

    curl localhost:8000 -d '{"images": ["<a PNG or JPEG file in base64>", ...]}'

The first needs the extras `models` and `export`, and Matplotlib; the second `export` alone.
"""

# %% The server: one program holds the scaling, the network, the OOD score and the threshold
import base64
import json
import threading
from argparse import ArgumentParser
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import onnxruntime
from PIL import Image

from fig.serving import read_images

LARGEST = 2**24  # bytes of a request


def answer(session: onnxruntime.InferenceSession, body: bytes) -> dict[str, list]:
    """Return class, score and verdict of each image of a request; raise ValueError where it is malformed."""
    try:
        files = json.loads(body)["images"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError('the body is no JSON object {"images": [base64, ...]}') from error
    if not isinstance(files, list):
        raise ValueError("images is no list")
    images = read_images(files, session.get_inputs()[0].shape[-1])
    logits, score, accepted = session.run(["logits", "score", "accepted"], {"images": images.transpose(0, 3, 1, 2)})
    return {"class": logits.argmax(axis=1).tolist(), "score": score.tolist(), "accepted": accepted.tolist()}


def make_server(program: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of an exported program on this machine; port 0 takes a free one."""
    session = onnxruntime.InferenceSession(program)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                length = int(self.headers.get("Content-Length", 0))
                if not 0 < length <= LARGEST:
                    raise ValueError(f"the request has {length} bytes, not 1 to {LARGEST}")
                status, found = 200, answer(session, self.rfile.read(length))
            except ValueError as error:
                status, found = 400, {"error": str(error)}
            self.reply(status, found)

        def do_GET(self) -> None:
            self.reply(200, {"ready": True})

        def reply(self, status: int, found: dict[str, object]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(found).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


parser = ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--out", type=Path, default=Path("served"), help="folder of model.onnx")
parser.add_argument("--port", type=int, help="serve what is there")
options = parser.parse_known_args()[0]  # a notebook has arguments of its own
out = options.out
if options.port is not None:
    with suppress(KeyboardInterrupt):
        make_server(out / "model.onnx", options.port).serve_forever()
    raise SystemExit

# %% Train and patch a classifier of digits, choose a threshold on digits that it has not seen, and export all that
import matplotlib
import timm
import torch
from matplotlib import pyplot as plt
from torch.nn import functional as F

import fig
from fig.data.packaged import digits, windows

matplotlib.use("Agg")
SIZE = 28


def rgb(pictures: list[np.ndarray]) -> np.ndarray:
    """Return pictures as one array of grey images in RGB (N, 28, 28, 3)."""
    grey = [Image.fromarray(picture).convert("L").resize((SIZE, SIZE)) for picture in pictures]
    return np.stack([np.asarray(image.convert("RGB")) for image in grey])


pixels, classes = digits()
everything, every_label = rgb(list(pixels)), np.array(classes)
tested = np.arange(len(every_label)) % 5 == 0
images, labels, test = everything[~tested], every_label[~tested], everything[tested]
torch.manual_seed(0)
model = timm.create_model("test_resnet", num_classes=10)
optimizer = torch.optim.Adam(model.parameters(), 0.002)
inputs, targets = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(labels)
for _ in range(6):
    for rows in torch.randperm(len(inputs)).split(64):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
model.eval()
training = fig.Finetuning(iterations=200, batch_size=64, learning_rate=0.003)
patched = fig.patch(model, images, labels, training=training, progress=False).model
for name, network in {"before": model, "after": patched}.items():
    confidence = fig.probe(network, (3, SIZE, SIZE), 64, progress=False).confidence
    print(f"{name}: confidence {confidence:.2f} on own samples")
judge = fig.detect(patched, images, detector="baseline", calibration=test, progress=False)
exported = judge.export(out)
print(f"exported: {exported.onnx}, at most {exported.difference:.0e} from PyTorch")

# %% Ask it about a digit and a window of a photograph, as a client does
server = make_server(exported.onnx, 0)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}"
asked = {"digit": test[0], "photograph": rgb(windows()[:1])[0]}


def encode(image: np.ndarray) -> str:
    """Return an image as a PNG file in base64."""
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


body = json.dumps({"images": [encode(image) for image in asked.values()]})
found = json.load(urlopen(address, body.encode()))
figure, grid = plt.subplots(1, len(asked), figsize=(5, 3), layout="constrained")
for axes, (name, image), number, score, accepted in zip(grid, asked.items(), *found.values(), strict=True):
    verdict = "accepted" if accepted else "rejected"
    print(f"{name}: class {number}, score {score:.2f}, {verdict}")
    axes.imshow(image)
    axes.set_title(f"{name}: class {number}, {verdict}", fontsize=9)
    axes.set_axis_off()
figure.savefig(out / "verdicts.png")
try:
    urlopen(address, b'{"images": ["no image"]}')
except HTTPError as error:
    print(f"status {error.code}: {json.load(error)['error']}")
server.shutdown()
print(f"picture: {out / 'verdicts.png'}")
