"""Model files that somebody damaged or made to do harm: each is refused in one sentence, and nothing of it is run."""

import json
from pathlib import Path

import pytest

from fig.export import Decision, read_decision

TEMPERATURES = {  # what JSON has, and what is said of it
    "1e999": "inf: it must be a finite number",
    "-Infinity": "-inf: it must be a finite number",
    "NaN": "nan: it must be a finite number",
    "1" + "0" * 400: "it must be a finite number",
    "true": "True: it must be a number",
    '"2"': "'2': it must be a number",
    "null": "None: it must be a number",
    "[1]": "[1]: it must be a number",
    "0": "0: it must be above 0",
    "-1": "-1: it must be above 0",
}


@pytest.mark.parametrize("written", TEMPERATURES, ids=lambda text: text[:9])
def test_a_temperature_that_is_no_positive_finite_number_is_refused(written: str, tmp_path: Path):
    stated = f'{{"detector": "energy", "threshold": 1.0, "settings": {{"temperature": {written}}}}}'
    (tmp_path / "detector.json").write_text(stated)
    with pytest.raises(ValueError) as refused:
        read_decision(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}/detector.json: settings of energy.temperature is ")
    assert str(refused.value).endswith(TEMPERATURES[written])
    with pytest.raises(ValueError, match=r"settings of energy\.temperature is "):
        Decision(**json.loads(stated))
