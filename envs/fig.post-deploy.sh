#!/bin/sh
# Snakemake runs this in the folder where it was started, with the new conda environment active.
set -eu
test -f requirements.lock || { echo "no requirements.lock here: start Snakemake in the repository, or leave out --sdm conda" >&2; exit 1; }
uv pip install --python "$CONDA_PREFIX/bin/python" --require-hashes -r requirements.lock
uv pip install --python "$CONDA_PREFIX/bin/python" --no-deps --editable .
