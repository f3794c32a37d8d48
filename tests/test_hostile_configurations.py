"""Files that are no configuration, or one that is read as something else than it says: refused at every door."""

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from fig.study import ConfigError, read_config
from fig.study.plain import LARGEST, read_plain
from support.forms import write_folder
from support.workspace import ROOT, Workspace, linked_project

DEMO = (ROOT / "config" / "demo.yaml").read_text()


def bomb(leaf: str, form: str, levels: int = 9) -> str:
    """A text in which each line names the one before ten times."""
    lines = [f"a{n}: &a{n} {form.format(', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, levels + 1)]
    return "\n".join([f"a0: &a0 {leaf}", *lines])


FILES: dict[str, tuple[str | bytes, str]] = {  # what a file holds, and how it is refused after its name
    "empty": ("", " is empty: a configuration is a mapping of keys to values"),
    "comments": ("# run: demo\n", " is empty: a configuration is a mapping"),
    "null": ("null", " is empty: a configuration is a mapping"),
    "list": ("- run: demo", " holds a list: a configuration is a mapping"),
    "text": ("run", " holds a str: a configuration is a mapping"),
    "number": ("7", " holds a int: a configuration is a mapping"),
    "not a number": (".nan", " holds a float: a configuration is a mapping"),
    "a word of keys": ("run demo\nseeds 0", " holds a str: a configuration is a mapping"),
    "two documents": ("run: a\n---\nrun: b\n", ", line 2: a second document begins: a study is one"),
    "what follows its end": ("run: a\n...\nrun: b\n", ", line 3: "),
    "twice": ("run: a\nseeds: [0]\nrun: b", ", line 3: the key run is stated twice: keep one"),
    "twice within": ("fig: {K: 0.1,\n K: 0.2}", ", line 2: the key K is stated twice: keep one"),
    "twice, once in quotes": ("run: a\n'run': b", ", line 2: the key run is stated twice: keep one"),
    "twice merged": ("a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a", ", line 4: the key << is stated twice: keep one"),
    "twice in JSON": ('{"run": "a",\n"run": "b"}', ", line 2: the key run is stated twice: keep one"),
    "a number as key": ("seeds: [0]\n1: a", ", line 2: the key 1 is read as a number: put it in quotes"),
    "Norway as key": ("variants:\n  no: {}", ", line 2: the key no is read as true or false: put it in quotes"),
    "a date as key": ("2024-01-01: a", ", line 1: the key 2024-01-01 is read as a date: put it in quotes"),
    "nothing as key": ("~: a", ", line 1: the key ~ is read as nothing: put it in quotes"),
    "a list as key": ("? [a]\n: b", ", line 1: a key is a list, a mapping or an alias: it must be a text"),
    "an alias as key": ("a: &a b\n*a : c", ", line 2: a key is a list, a mapping or an alias: it must be a text"),
    "a long key": (f"{'x' * 201}: a", ", line 1: the key 'xxxxxxxxxxxxxxxxxxxx'… must be of one line of at most 200"),
    "a key of two lines": ('"a\\nb": c', ", line 1: the key 'a\\nb'… must be of one line of at most 200 characters"),
    "a key that colours": ('"\\e[31m": c', ", line 1: the key '\\x1b[31m'… must be of one line"),
    "octal": ("seeds: [017]", ", line 1: 017 is read as 15: write a number without leading zeros and colons"),
    "base 60": ("seeds:\n- 3:20", ", line 2: 3:20 is read as 200: write a number without leading zeros and colons"),
    "base 60 with a fraction": ("a: 1:30.5", ", line 1: 1:30.5 is read as 90.5: write a number without leading"),
    "a number of 5000 digits": (f"seeds: [{'9' * 5000}]", ", line 1: a number has 5000 digits: it may have 200"),
    "a hexadecimal one": (f"seeds: [0x{'f' * 5000}]", ", line 1: a number has 5002 digits: it may have 200"),
    "no date": ("run: 2024-13-45", " holds an invalid date (month must be in 1..12): put it in quotes"),
    "code": ("a: !!python/object/apply:os.system ['touch owned']", ", line 1: the tag tag:yaml.org,2002:python/object"),
    "code as key": ("!!python/name:os.system : a", ", line 1: the tag tag:yaml.org,2002:python/name:os.system is not"),
    "bytes": ("a: !!binary aGk=", ", line 1: the tag tag:yaml.org,2002:binary is not read: leave it out"),
    "a forced text": ("a: !!str 1", ", line 1: the tag tag:yaml.org,2002:str is not read: leave it out"),
    "a tag of one's own": ("a: !mine {b: 1}", ", line 1: the tag !mine is not read: leave it out"),
    "a file to include": ("a: !include /etc/passwd", ", line 1: the tag !include is not read: leave it out"),
    "no such anchor": ("a: *b", ", line 1: found undefined alias: is a quote, bracket, colon or blank missing?"),
    "a list in itself": ("a: &a [1, *a]", ", line 1: *a is within what it names: write it out"),
    "a mapping in itself": ("a: &a\n  b: *a", ", line 2: *a is within what it names: write it out"),
    "a merge with itself": ("a: &a\n  <<: *a", ", line 2: *a is within what it names: write it out"),
    "a merge with a number": ("a: {<<: 1}", ", line 1: expected a mapping or list of mappings for merging"),
    "ten times ten lists": (bomb("[x]", "[{}]"), ", line 6: with its aliases written out it has more than 262,144"),
    "ten times ten mappings": (bomb("{k: v}", "{{<<: [{}]}}"), ": with its aliases written out it has more than"),
    "ten times ten texts": (bomb("x" * 1000, "[{}]"), ", line 4: with its aliases written out it has more than"),
    "a thousand levels of [": ("a: " + "[" * 1000, ", line 1: more than 50 lists and mappings are within each other"),
    "100,000 levels of -": ("- " * 100_000, ", line 1: more than 50 lists and mappings are within each other"),
    "50,000 levels of {": ("{a: " * 50_000, ", line 1: more than 50 lists and mappings are within each other"),
    "tabs": ("fig:\n\tK: 0.1", ", line 2: found character that cannot start any token: indent with blanks, not with"),
    "tabs after blanks": (
        "fig:\n  K: 0.1\n \tsampler: {}",
        ", line 3: found a tab character that violates",
    ),
    "an open bracket": ("seeds: [0", ", line "),
    "an open quote": ("run: 'demo", ", line 1: found unexpected end of stream: is a quote, bracket, colon or blank"),
    "two colons": ("run: demo: again", ", line 1: mapping values are not allowed in this context: is a quote, bracket"),
    "a template": ("run: {{ run }}", ", line "),
    "a template of Snakemake's": ("__use_yte__: true\n?open('owned', 'w'): {a: 1}", ": __use_yte__ lets Snakemake run"),
    "UTF-16": (DEMO.encode("utf-16"), " is no text in UTF-8 (invalid start byte at byte 0): save it as text in UTF-8"),
    "UTF-16 without mark": (DEMO.encode("utf-16-le"), " is no text ("),
    "UTF-32": (DEMO.encode("utf-32"), " is no text in UTF-8 (invalid start byte at byte 0): save it as text in UTF-8"),
    "Latin-1": (
        "run: dämo".encode("latin-1"),
        " is no text in UTF-8 (invalid continuation byte at byte 6): save it",
    ),
    "a NUL": ("run: a\0", " is no text (unacceptable character #x0000"),
    "a control character": ("run: \x1b[31m", " is no text (unacceptable character #x001b"),
    "random bytes": (bytes(range(128, 256)) * 10, " is no text in UTF-8 ("),
    "a zip": (b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(200), " is no text ("),
    "a pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94.", " is no text in UTF-8 ("),
    "half a surrogate": ('{"run": "\\ud800"}', ", line 1: found invalid Unicode character escape code"),
    "10 MB": (b"run: " + b"x" * 10_000_000, f" has more than {LARGEST:,} bytes: is it a study?"),
    "10 MB of keys": (b"".join(b"k%d: 1\n" % n for n in range(1_000_000)), f" has more than {LARGEST:,} bytes"),
}


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "my.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_plain_mapping_is_refused_by_its_name_and_line(name: str, tmp_path: Path):
    content, sentence = FILES[name]
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as refused:
        read_config([path])
    said = str(refused.value)
    assert said.startswith(f"{path}") and sentence in said and said.isprintable() and len(said) < 500
    assert [each.name for each in tmp_path.iterdir()] == ["my.yaml"]


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "a folder", "a pipe", "nothing", "a link to nothing"])
def test_what_is_no_file_is_refused_before_it_is_read(name: str, tmp_path: Path):
    path = Path(name) if name.startswith("/") else tmp_path / "my.yaml"
    make = {"a folder": Path.mkdir, "a pipe": os.mkfifo, "a link to nothing": lambda path: path.symlink_to("x")}
    make.get(name, str)(path)
    with pytest.raises(ConfigError, match=f"^{path} is no file: name a file in YAML"):
        read_config([path])


def test_what_is_plain_is_read_as_yaml_reads_it(tmp_path: Path):
    for path in [*ROOT.glob("config/*.yaml"), *ROOT.glob("tests/*.yaml")]:
        assert read_plain(path) == yaml.safe_load(path.read_text())
    stated = {"run": "a", "fig": {"K": 0.1}, "seeds": [0, 1]}
    assert read_plain(written(tmp_path, b"\xef\xbb\xbf" + json.dumps(stated, indent="\t").encode())) == stated
    text = "%YAML 1.1\n---\na: &a {b: 1, c: 1_000}\nd: {<<: *a, b: 0x10}\ne: [yes, ~, 2024-01-01, 1.0e-3, '017']\r\n"
    assert read_plain(written(tmp_path, text)) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["fig={K: [", "fig=!!python/name:os.system", "seeds=[017]", "fig={K: 1, K: 0}"])
def test_an_override_that_is_not_plain_is_refused(text: str):
    with pytest.raises(ConfigError, match=f"^--config {text.partition('=')[0]}, line 1: "):
        read_config([ROOT / "config" / "demo.yaml"], [text])


MEASURE = """
import resource, sys, time, yaml
from pathlib import Path
from fig.study import ConfigError, read_config
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
began = time.process_time()
yaml.load(Path(sys.argv[1]).read_text(), yaml.CSafeLoader)
print(time.process_time() - began)
for path in sys.argv[1:]:
    began = time.process_time()
    try:
        read_config([Path(path)])
    except ConfigError:
        print(time.process_time() - began)
"""


@pytest.mark.slow
def test_to_refuse_a_file_takes_a_gibibyte_and_as_long_as_to_load_five_of_the_largest_at_most(tmp_path: Path):
    full = "variants:\n" + "".join(f"  v{n}: {{method: fig, fig: {{K: 2}}}}\n" for n in range(6000))
    flat = f"seeds: [{','.join(['1'] * (LARGEST // 2 - 10))}]"
    paths = []
    for number, content in enumerate([flat, full, *(content for content, _ in FILES.values())]):
        (tmp_path / f"{number}").mkdir()
        paths.append(written(tmp_path / f"{number}", content))
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths, "/dev/zero"], env=unmeasured, capture_output=True, text=True, check=True
    )
    largest, *seconds = (float(line) for line in done.stdout.split())
    assert len(seconds) == len(paths) + 1 and max(seconds) < 5 * largest


DOORS = {
    "plan": ["-m", "fig", "plan", "my.yaml"],
    "report": ["-m", "fig", "report", "my.yaml"],
    "recover": ["-m", "fig", "recover", "my.yaml"],
    "run": ["-m", "fig", "run", "my.yaml", "--cores", "1", "--dry-run"],
    "snakemake": ["-m", "snakemake", "--cores", "1", "--dry-run", "--configfile", "my.yaml"],
}
AT_DOORS = {
    "twice": (f"run: again\n{DEMO}", "my.yaml, line 4: the key run is stated twice: keep one"),
    "a template of Snakemake's": (
        FILES["a template of Snakemake's"][0],
        "my.yaml: __use_yte__ lets Snakemake run",
    ),
    "ten times ten lists": (FILES["ten times ten lists"][0], "with its aliases written out it has more than"),
    "a name": (DEMO.replace("fig-k0", "bad/../x"), "variants.bad/../x: a name has small letters"),
}


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("door", "name"),
    [
        *(("plan", name) for name in AT_DOORS),
        *(("run", name) for name in AT_DOORS),
        ("report", "twice"),
        ("recover", "ten times ten lists"),
        ("snakemake", "twice"),
        ("snakemake", "a name"),
    ],
)
def test_every_door_refuses_a_configuration_in_one_sentence_and_leaves_nothing(door: str, name: str, tmp_path: Path):
    content, sentence = AT_DOORS[name]
    with linked_project(tmp_path):
        (tmp_path / "profiles").symlink_to(ROOT / "profiles")
        written(tmp_path, content)
        before = {*tmp_path.iterdir(), tmp_path / ".snakemake"}  # Snakemake's own log
        done = Workspace(tmp_path).run("python", *DOORS[door], check=False)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode and sentence in said and "Traceback" not in said
        assert {*tmp_path.iterdir()} <= before


@pytest.mark.pipeline
def test_names_that_a_shell_would_read_otherwise_are_taken_as_they_are(tmp_path: Path):
    odd = """it's $(touch owned) `touch owned`; ä "q" * &"""
    with linked_project(tmp_path):
        for folder in ("one", "else_where"):
            (tmp_path / odd / folder).mkdir(parents=True)
        write_folder(tmp_path / odd / "one")
        (tmp_path / odd / "else_where" / "a.zip").write_bytes(b"PK")
        file = {"url": "https://example.org/a.zip", "hash": f"sha256:{sha256(b'PK').hexdigest()}"}
        stated = yaml.safe_load(DEMO) | {
            "data": {"mirror": odd},
            "datasets": {
                "my_set.v1": {"train": {"path": f"{odd}/one"}, "test_share": 0.5, "size": 32},
                "else_where": {"images": {"files": [file]}},
            },
        }
        stated["studies"][0] |= {"id_datasets": ["my_set.v1"], "ood_datasets": ["else_where-c"]}
        (tmp_path / "my study.yaml").write_text(yaml.safe_dump(stated))
        wanted = ["data/32/my_set.v1/train.npy", "data/downloads/else_where/a.zip"]
        Workspace(tmp_path).run("snakemake", "--cores", "1", *wanted, "--configfile", "my study.yaml")
        assert all((tmp_path / path).exists() for path in wanted)
        assert not list(tmp_path.rglob("owned"))
