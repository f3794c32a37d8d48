"""Laws that every command of `fig` keeps."""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from inspect import cleandoc, signature
from io import StringIO
from pathlib import Path

import pytest
from cyclopts import App, validators
from rich.console import Console

from fig.__main__ import EXIT_STATUS, GROUPS, build_app, main
from fig.commands import options
from support.workspace import ROOT, Workspace

COMMANDS = [name for names in GROUPS.values() for name in names]
WITHOUT_DATA = {"run", "completion"}  # Snakemake's output, and a script
PAGE = ROOT / "docs" / "commands.md"


@pytest.fixture
def app() -> App:
    return build_app()


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run a command line in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["fig", *map(str, words)])
    monkeypatch.setattr("fig.__main__.announce", lambda: None)
    monkeypatch.setattr("fig.__main__.listen", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main()
        raise SystemExit(0)
    return int(ended.value.code or 0)


def help_of(app: App, *words: str) -> str:
    """What `fig ... --help` prints in a terminal of 80 columns."""
    console = Console(file=StringIO(), width=80)
    with console.capture() as captured:
        app([*words, "--help"], console=console, result_action="return_value")
    return captured.get()


def arguments_of(app: App, command: str) -> Iterator[tuple[str, object, str, bool]]:
    """Name, type, help and whether it is an option, of each argument of a command."""
    for argument in app[command].assemble_argument_collection():
        option = bool(argument.parameter.name) and argument.name.startswith("--")
        yield argument.name, argument.hint, argument.parameter.help or "", option


def examples(command: str) -> list[str]:
    """The command lines of a command's example, without the shell's variables and comments before and after them."""
    text = cleandoc(build_app()[command].help_epilogue).partition("Example:\n")[2]
    lines = text.replace("\\\n", " ").splitlines()
    return [line[line.index("fig ") :] for line in lines if line.strip() and not line.strip().startswith("#")]


def test_every_module_of_a_command_is_in_one_group():
    written = {path.stem for path in (ROOT / "fig/commands").glob("*.py") if f"\ndef {path.stem}(" in path.read_text()}
    assert sorted(COMMANDS) == sorted(written)


def test_help_shows_groups_and_exit_statuses_in_the_order_of_a_users_work(app: App):
    shown = help_of(app)
    places = [
        shown.index(word) for title, names in GROUPS.items() for word in (f"─ {title} ─", *(f"│ {n} " for n in names))
    ]
    assert places == sorted(places)
    assert all(f"  {status:<4} {meaning}\n" in shown for status, meaning in EXIT_STATUS.items())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_that_fits_a_terminal(app: App, command: str):
    example = help_of(app, command).rpartition("Example:\n")[2]
    assert f"fig {command} " in example
    assert example.strip() == build_app()[command].help_epilogue.partition("Example:\n")[2].strip(), (
        "no line is wrapped"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_is_a_command_line_that_fig_accepts(app: App, command: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(validators.Path, "__call__", lambda *_: None)  # their files are not here
    lines = [line for line in examples(command) if line.startswith(f"fig {command} ")]
    assert lines
    for line in lines:
        own = re.split(r' && |\)"', line)[0]
        words = subprocess.run(["bash", "-c", f"printf '%s\\n' {own}"], capture_output=True, text=True, check=True)
        called, bound, _ = app.parse_args(words.stdout.splitlines()[1:], print_error=False, exit_on_error=False)
        assert called.__name__ == command and bound.arguments


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_is_explained(app: App, command: str):
    unexplained = [name for name, _, text, _ in arguments_of(app, command) if not text.endswith((".", "..."))]
    assert not unexplained


def test_an_option_has_one_name_and_one_type_everywhere(app: App):
    types, names = defaultdict(set), defaultdict(set)
    for command in COMMANDS:
        for name, hint, text, option in arguments_of(app, command):
            if option:
                types[name].add(re.sub(r"<class '(.+)'>", r"\1", str(hint)).removesuffix(" | None"))
                names[text].add(name)
    assert not {name: found for name, found in types.items() if len(found) > 1}
    assert not {text: found for text, found in names.items() if len(found) > 1}


def test_a_shared_argument_has_one_name(app: App):
    shared = {id(value): name for name, value in vars(options).items() if hasattr(value, "__metadata__")}
    assert {"Seed", "Batch", "Settings", "TrustFactory"} <= set(shared.values())
    found = defaultdict(set)
    for command in COMMANDS:
        function = app[command].default_command
        for name, argument in signature(function).parameters.items():
            if (kind := shared.get(id(argument.annotation))) and kind not in ("Count", "Folder", "ConfigFile"):
                found[kind].add(name)
    assert all(len(each) == 1 for each in found.values()), found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_answers_with_data_has_json(app: App, command: str):
    assert ("--json" in help_of(app, command)) == (command not in WITHOUT_DATA)


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)])
def test_help_has_no_escape_codes_when_it_is_piped(app: App, words: list[str], capsys: pytest.CaptureFixture[str]):
    build_app()([*words, "--help"], result_action="return_value")
    printed = capsys.readouterr().out
    assert "Usage: fig" in printed and "\x1b" not in printed


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch):
    colour = re.compile(r"\x1b\[[0-9;]*3\d")
    for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        monkeypatch.delenv("NO_COLOR", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        console = Console(force_terminal=True, color_system="standard", width=80)
        with console.capture() as captured:
            build_app()(["--help"], console=console, result_action="return_value")
        assert bool(colour.search(captured.get())) == coloured


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["patc"], 'Unknown command "patc". Did you mean "patch"?'),
        (["probe", "--coun", "3"], "Unknown option: --coun. Did you mean --count? See `fig probe --help`."),
        (["sample"], "DISCRIMINATOR requires an argument. See `fig sample --help`."),
        (["plan", "no.yaml"], '"no.yaml" does not exist. See `fig plan --help`.'),
        (["completion", "dash"], "See `fig completion --help`."),
    ],
)
def test_a_wrong_command_line_is_one_sentence_with_a_remedy_and_status_2(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert call(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and sentence in printed.err and printed.err.count("\n") == 1
    assert not printed.out


@pytest.mark.parametrize("command", ["probe", "openood", "register"])
def test_a_command_of_several_discriminators_wants_one(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert call(monkeypatch, command, *(["--out", "out"] if command != "register" else [])) == 1
    assert f"fig {command} needs the folder of at least one discriminator" in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved discriminator that every command takes; images of its two classes are in `tmp_path/images`."""
    import numpy as np
    from PIL import Image

    from fig.discriminator import Architecture, Card, Discriminator, save

    draw = np.random.default_rng(0)
    for place in ("a", "b"):
        (tmp_path / "images" / place).mkdir(parents=True)
        for number in range(8):
            pixels = draw.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / place / f"{number}.png")
    output = tmp_path / "standard"
    output.mkdir()
    decision = {"detector": "energy", "settings": {}, "threshold": 0.0, "id_acceptance": 0.95}
    (output / "detector.json").write_text(json.dumps(decision))
    architecture = Architecture("resnet18", classes=2, size=16, width=1 / 16)
    save(output, Discriminator(architecture, seed=0), Card(architecture, "images", "standard", 0, "untrained"))
    return output


ARGUMENTS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "adopt": lambda _, at: (
        *("--factory", "fig.networks.building:build", "--classes", 2, "--size", 16, "--out", at / "out"),
        *("--arguments", '{"name": "resnet18", "classes": 2, "image_size": 16, "width": 0.0625}'),
    ),
    "patch": lambda it, at: (it, at / "images", "--iterations", 2, "--batch-size", 8, "--out", at / "out"),
    "detect": lambda it, at: (it, at / "images", at / "images/a", "--out", at / "out.csv"),
    "export": lambda it, at: (it, "--out", at / "out"),
    "probe": lambda it, at: (it, "--count", 4, "--steps", 12, "--out", at / "probe.json"),
    "sample": lambda it, at: (it, "--count", 4, "--steps", 3, "--out", at / "grid.png"),
    "plan": lambda _, at: (at / "demo.yaml",),
    "report": lambda _, at: (at / "demo.yaml",),
    "recover": lambda _, at: (at / "demo.yaml",),
    "sync": lambda _, at: (at / "results",),
    "openood": lambda it, at: (it, "--out", at / "out"),
    "push": lambda it, _: (it, "me/mine"),
    "register": lambda it, _: (it,),
}
STANDINS: dict[str, dict[str, object]] = {  # for what needs the hub, MLflow, Snakemake's jobs, or a wide network
    "push": {"fig.discriminator.Discriminator.push_to_hub": lambda *_, **__: print("pushed") or "https://hub/me"},
    "register": {"fig.runtime.tracking.register": lambda _: "models:/fig/1"},
    "openood": {"fig.openood.check_layout": lambda _: None, "fig.openood.write_checkpoint": lambda *_: None},
    "recover": {"fig.commands.jobs.list_jobs": lambda _: [], "fig.commands.jobs.remember_outputs": lambda _: None},
}
NEEDS = {"export": ("onnxscript", "onnxruntime"), "probe": ("matplotlib",), "report": ("pandas", "matplotlib")}


def test_the_arguments_below_are_those_of_every_command_with_data():
    assert ARGUMENTS.keys() == set(COMMANDS) - WITHOUT_DATA


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(ARGUMENTS.keys() - {"report"}))
def test_json_is_one_value_and_nothing_else(
    command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for library in NEEDS.get(command, ()):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "demo.yaml").write_text((ROOT / "config/demo.yaml").read_text())
    for name, standin in STANDINS.get(command, {}).items():
        monkeypatch.setattr(name, standin)
    words = [command, *ARGUMENTS[command](folder, tmp_path)]
    assert call(monkeypatch, *words, "--json") == 0
    printed = capsys.readouterr()
    answer = json.loads(printed.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert isinstance(answer, dict) and answer and printed.out.count("\n") == 1
    written = [value for key, value in answer.items() if key in ("discriminator", "picture", "arrays", "verdicts")]
    assert all(Path(path).exists() for path in written)
    if command not in ("patch", "recover"):  # a second patch finds the first; nothing is stale
        assert call(monkeypatch, *words) == 0
        shown = capsys.readouterr().out
        assert shown and not shown.startswith("{") and "\x1b" not in shown


@pytest.mark.slow
def test_with_json_an_error_leaves_standard_output_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert call(monkeypatch, "sample", folder, "--class", 7, "--out", folder / "grid.png", "--json") == 1
    printed = capsys.readouterr()
    assert not printed.out and "--class is 7" in printed.err


@pytest.mark.pipeline
def test_the_report_answers_in_json(workspace: Workspace):
    done = workspace.run("fig", "report", "tests/tiny.yaml", "--json")
    answer = json.loads(done.stdout)
    assert answer["shown"] == answer["discriminators"] > 0 and (workspace.folder / answer["page"]).exists()


def complete(*words: str) -> list[str]:
    """What bash offers for the last word of a command line."""
    script = 'eval "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fig; printf "%s\\n" "${COMPREPLY[@]}"'
    code = build_app().generate_completion(prog_name="fig", shell="bash")
    done = subprocess.run(["bash", "-c", script, "_", code, *words], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert sorted(complete("fig", "")) == sorted(COMMANDS)
    assert complete("fig", "re") == ["report", "recover", "register"]
    assert complete("fig", "plan", "--de") == ["--device"]
    for command in ARGUMENTS:
        assert "--json" in complete("fig", command, "--js"), command
    assert complete("fig", "completion", "z") == ["zsh"]
    assert call(monkeypatch, "completion", "bash") == 0
    assert "complete -F _fig fig" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("words", [("plan", "config/demo.yaml"), ("plan", "config/demo.yaml", "--json")])
def test_a_pipe_that_closes_early_ends_a_command_without_an_error_message(words: tuple[str, ...]):
    command = subprocess.Popen(
        [sys.executable, "-m", "fig", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert command.stdout and command.stderr
    command.stdout.close()  # as `| true` does
    assert not re.search("error|exception", command.stderr.read(), re.IGNORECASE) and command.wait() == 1


def test_the_page_states_every_command_in_its_words_and_every_exit_status(app: App):
    page = PAGE.read_text()
    for title, names in GROUPS.items():
        for name in names:
            assert f"| {title.lower()} | `fig {name}` | {app[name].help.splitlines()[0]} |\n" in page
    assert all(f"| {status} | {meaning} |\n" in page for status, meaning in EXIT_STATUS.items())
