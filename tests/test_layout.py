"""The house rules that a reviewer should not have to remember: what files are called, and what must agree with what."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE_FOLDERS = ("sidecar", "tests", "loadtest")
LOCKS = ("build", "dev", "image", "loadtest", "runtime")

UNMIRRORED_MODULES = {"__init__.py", "__main__.py"}
"""Faces and entry points: what is behind them has its tests by its own name."""

UNMIRRORED_TESTS = {"acceptance", "deploy", "fakes", "loadtest"}
"""Folders of tests that belong to no package of sidecar/."""

NAMELESS = {"data", "do", "handler", "handlers", "helper", "helpers", "info", "manager", "process", "util", "utils"}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def has_logic(path: Path) -> bool:
    tree = tree_of(path)
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))


def modules_with_logic() -> list[Path]:
    paths = sorted((ROOT / "sidecar").rglob("*.py"))
    return [path.relative_to(ROOT) for path in paths if path.name not in UNMIRRORED_MODULES and has_logic(path)]


def python_files() -> Iterator[Path]:
    return chain.from_iterable(sorted((ROOT / folder).rglob("*.py")) for folder in CODE_FOLDERS)


def words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def lock_pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==(\S+)", text_of(f"requirements/{lock}.lock"), re.MULTILINE))


def requirement_names(requirements: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", line)[0]).lower() for line in requirements}


@pytest.mark.parametrize("module", modules_with_logic(), ids=str)
def test_a_module_with_logic_has_a_test_file_of_its_name(module: Path) -> None:
    folder = ROOT / "tests" / module.parent.relative_to("sidecar")

    mirror = folder / f"test_{module.name}"

    assert mirror.is_file(), f"{module} has no {mirror.relative_to(ROOT)}"


def test_a_folder_of_tests_is_named_after_a_package() -> None:
    packages = {path.name for path in (ROOT / "sidecar").iterdir() if path.is_dir()}

    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("*/*.py")}

    assert folders <= packages | UNMIRRORED_TESTS


def test_a_file_is_called_by_its_noun() -> None:
    paths = [path.relative_to(ROOT) for path in python_files()]

    nameless = [str(path) for path in paths if NAMELESS & set(chain.from_iterable(map(words_of, path.parts)))]

    assert nameless == []


def test_a_class_or_function_is_called_by_what_it_is() -> None:
    nameless = []

    for path in python_files():
        for node in ast.walk(tree_of(path)):
            is_class = isinstance(node, ast.ClassDef) and bool(NAMELESS & words_of(node.name))
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.strip("_") in NAMELESS
            if is_class or is_function:
                nameless.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")

    assert nameless == []


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}

    for path in sorted((ROOT / "sidecar").rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))

    doubles = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert not doubles, doubles


PRIVATE_OF_LIBRARIES = {"sidecar/demo/child.py _exit", "sidecar/governance/loading/bounded_connector.py _payload"}
"""os._exit ends a child of the demo without the parent's exit handlers; aiohttp has no public access to the body."""


def private_names(nodes: Iterator[ast.AST]) -> Iterator[ast.Attribute]:
    """Accesses `thing._name`, dunder names apart."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node


def names_made_in(tree: ast.AST) -> set[str]:
    """Names that a module defines or assigns: functions, attributes, variables, slots."""
    made = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                made.add(name)
            case ast.Attribute(attr=name, ctx=ast.Store()) | ast.Name(id=name, ctx=ast.Store()):
                made.add(name)
            case ast.Constant(value=str() as name):
                made.add(name)
    return made


def test_a_private_name_is_not_used_outside_its_package() -> None:
    trees = {path.relative_to(ROOT): tree_of(path) for path in sorted((ROOT / "sidecar").rglob("*.py"))}
    made: dict[str, set[str]] = {}
    for path, tree in trees.items():
        made.setdefault(path.parts[1], set()).update(names_made_in(tree))

    foreign = []
    for path, tree in trees.items():
        used = {node.attr for node in private_names(ast.walk(tree))}
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(f"sidecar.{path.parts[1]}")
            for alias in node.names
            if alias.name.startswith("_") and not alias.name.startswith("__")
        }
        foreign += [f"{path.as_posix()} {name}" for name in sorted((used - made[path.parts[1]]) | imported)]

    assert set(foreign) == PRIVATE_OF_LIBRARIES


SEARCHES = {"startswith", "endswith", "find", "rfind", "index", "partition", "rpartition", "split", "replace"}
SEARCHES |= {"removeprefix", "removesuffix", "search", "match", "fullmatch", "findall", "finditer"}
MESSAGES = {"rule", "message", "msg", "problem", "args"}
"""Attributes of findings and errors that hold English text."""
UNPARSED_PACKAGES = ("admin", "app", "cli", "governance", "migration", "review")


def is_message(node: ast.AST, errors: set[str]) -> bool:
    """Whether an expression is the text of an error or finding: `str(error)`, `error.rule`, `error.args[0]`."""
    match node:
        case ast.Call(func=ast.Name(id="str" | "repr"), args=[ast.Name(id=name)]):
            return name in errors
        case ast.Attribute(attr=attribute):
            return attribute in MESSAGES
        case ast.Subscript(value=inner) | ast.Call(func=ast.Attribute(value=inner, attr="lower" | "casefold")):
            return is_message(inner, errors)
    return False


def message_searches(tree: ast.AST) -> Iterator[int]:
    """The lines in which the text of an error or finding is searched for a word."""
    errors = {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name} | {"finding"}
    for node in ast.walk(tree):
        match node:
            case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[text]) if is_message(text, errors):
                yield node.lineno
            case ast.Compare(left=text, ops=[ast.Eq() | ast.NotEq()], comparators=[ast.Constant(value=str())]) if (
                is_message(text, errors)
            ):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=text, attr=name)) if name in SEARCHES and is_message(text, errors):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr=name), args=arguments) if name in SEARCHES:
                if any(is_message(argument, errors) for argument in arguments):
                    yield node.lineno


@pytest.mark.parametrize("package", UNPARSED_PACKAGES)
def test_no_message_is_searched_for_its_meaning(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted((ROOT / "sidecar" / package).rglob("*.py"))
        for line in message_searches(tree_of(path))
    ]

    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "if 'not known' in str(error): pass",
        "if error.rule.startswith('must be'): pass",
        "kind = re.search('guardrail', finding.rule)",
        "kind = MARK.search(finding.rule)",
        "if str(error).lower().startswith('no'): pass",
        "if error.args[0] == 'gone': pass",
        "if 'x' not in finding.rule: pass",
    ],
)
def test_a_search_of_a_message_is_seen(line: str) -> None:
    source = f"try:\n    run()\nexcept ValueError as error:\n    {line}\n"

    assert list(message_searches(ast.parse(source))) == [4]


RIDDLES = re.compile(r"\b(somebody|anybody|everybody|nobody|someone|whoever|goodbye)\b", re.IGNORECASE)
"""Words that stand where the subject of a sentence should be named."""
VAGUE_BEGINNING = re.compile(r'\s*"""(What|How|Why|Where|Which|Who|Whom|Whose|Whoever)\b')
PLAIN_TEXTS = {"sidecar": ("*.py", "*.js", "*.css", "*.json", "*.md"), "docs": ("*.md",), "helm": ("*.md", "*.yaml")}
"""Files in plain technical English, by their folders."""


def plain_texts() -> list[Path]:
    found = [path for folder, kinds in PLAIN_TEXTS.items() for kind in kinds for path in (ROOT / folder).rglob(kind)]
    return [ROOT / "README.md", *sorted(found)]


def test_a_sentence_names_its_subject() -> None:
    vague = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for path in plain_texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if RIDDLES.search(line) or VAGUE_BEGINNING.match(line)
    ]

    assert vague == []


SLEEPERS = {
    "tests/fakes/waiting.py": "the one place for it: polls a condition with a deadline",
    "tests/deploy/webhook_review.py": "a program of its own, run where the tests' modules are not",
    "tests/fakes/dated.py": "the Date of a server's answer",
    "tests/idempotency/stores/claimant.py": "a process that lives until it is killed",
    "tests/idempotency/stores/conformance.py": "two clocks that go at different rates are its subject",
    "tests/loadtest/harmless/test_caller.py": "the beginning of real traffic",
    "tests/loadtest/storm/test_traffic.py": "the beginning of real traffic",
    "tests/mutation.py": "no test: says how long it took",
    "tests/telemetry/test_otlp.py": "the conversion of the monotonic clock to Unix time is its subject",
    "tests/vectors/hosts.py": "the seconds that a client took are among what it is judged by",
}
"""Files outside tests/acceptance that sleep or read a clock, and why they may."""
SLEEPING_FOLDERS = ("tests/acceptance/", "tests/proxy/")
"""Tests of real processes; and of the data plane on real sockets."""
CLOCKS = {"asyncio.sleep", "time.sleep", "time.time", "time.monotonic", "time.perf_counter", "monotonic", "sleep"}


def clock_calls(tree: ast.AST) -> Iterator[int]:
    """The lines with a call that waits for a time or reads a clock."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=function) if ast.unparse(function) in CLOCKS:
                yield node.lineno


def test_only_acceptance_tests_sleep() -> None:
    """Others drive a fake clock, or await a condition: `tests/fakes/waiting.py`."""
    sleepers = [
        f"{name}:{line}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for name in [path.relative_to(ROOT).as_posix()]
        if name not in SLEEPERS and not name.startswith(SLEEPING_FOLDERS)
        for line in clock_calls(tree_of(path))
    ]

    assert sleepers == []
    assert [name for name in SLEEPERS if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("line", ["await asyncio.sleep(0.1)", "time.sleep(1)", "began = time.monotonic()", "sleep(0)"])
def test_a_call_that_sleeps_is_seen(line: str) -> None:
    assert list(clock_calls(ast.parse(f"async def test() -> None:\n    {line}\n"))) == [2]


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_readme_shows_the_command_on_a_line_of_its_own(command: str) -> None:
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text_of("README.md"), re.MULTILINE | re.DOTALL)

    lines = {line.split("#")[0].strip() for line in "".join(blocks).splitlines()}

    assert command in lines


def test_ci_runs_the_test_command_of_the_readme() -> None:
    ci_commands = [line.split("#")[0].split() for line in text_of(".ci/run").splitlines()]
    rules = dict(re.findall(r"^([a-z]+):([^#\n]*)", text_of("Makefile"), re.MULTILINE))

    runs_check = any(words[-2:] == ["make", "check"] for words in ci_commands)

    assert runs_check
    assert rules["check"].split() == ["lint", "test"]


def test_the_parts_of_make_test_leave_nothing_out_and_say_which_they_are() -> None:
    makefile = text_of("Makefile")
    parts = dict(re.findall(r"^(LAWS|ALONE) := (.*)$", makefile, re.MULTILINE))
    names = ("test", "unit", "laws", "alone")

    recipes = {name: makefile.partition(f"\n{name}: ")[2].partition("\n\n")[0] for name in names}
    order = [recipes["test"].index(f"$(MAKE) {part}") for part in names[1:]]

    assert [path for part in parts.values() for path in part.split() if not (ROOT / path).exists()] == []
    assert order == sorted(order)
    assert "$(addprefix --ignore=,$(LAWS) $(ALONE)) tests" in recipes["unit"]
    assert "$(LAWS)" in recipes["laws"]
    assert "pytest $(ALONE)" in recipes["alone"]
    assert [f"(part {number} of 3)" in recipes[part] for number, part in enumerate(names[1:], 1)] == [True] * 3


ARCHITECTURE = text_of("docs/architecture.md")


def test_every_package_has_its_layer_on_the_page_about_the_architecture() -> None:
    layers = ARCHITECTURE.partition("## Layers")[2].partition("\n## ")[0]
    parts = [path for path in (ROOT / "sidecar").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]

    lacking = {path.stem for path in parts if not path.stem.startswith("__")} - set(re.findall(r"`(\w+)`", layers))

    assert lacking == set()


def test_every_place_that_the_page_sends_a_change_to_is_there() -> None:
    table = ARCHITECTURE.partition("## Where a change goes")[2].partition("\n## ")[0]
    rows = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ") and "`" in row]
    missing = []

    for row in rows:
        folder = Path()
        for place in re.findall(r"`([\w/.]+)`", row):
            path = Path(place) if "/" in place else folder / place  # `remote.py` is beside the file before it
            if not (ROOT / "sidecar" / path).exists():
                missing.append(place)
            folder = path.parent

    assert len(rows) >= 18
    assert missing == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_place_on_a_machine(lock: str) -> None:
    lines = text_of(f"requirements/{lock}.lock").splitlines()

    tied = [line for line in lines if re.search(r"://|^-|\s@\s|\s/\w", line)]

    assert tied == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_a_hash_for_every_pin(lock: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", text_of(f"requirements/{lock}.lock"), flags=re.MULTILINE)[1:]

    loose = [block.split()[0] for block in blocks if "==" not in block.split()[0] or "--hash=sha256:" not in block]

    assert blocks != []
    assert loose == []


def test_the_locks_cover_what_the_project_asks_for() -> None:
    document = tomllib.loads(text_of("pyproject.toml"))
    runtime = requirement_names(document["project"]["dependencies"])
    extras = document["project"]["optional-dependencies"]
    build = requirement_names(document["dependency-groups"]["build"])

    assert runtime <= set(lock_pins("runtime"))
    assert build <= set(lock_pins("build"))
    assert runtime | build | requirement_names(extras["dev"]) - {"retry-sidecar"} <= set(lock_pins("dev"))
    assert requirement_names(extras["loadtest"]) <= set(lock_pins("loadtest"))
    for extra in set(extras) - {"dev", "loadtest"}:
        assert runtime | requirement_names(extras[extra]) - {"retry-sidecar"} <= set(lock_pins("image")), extra


@pytest.mark.parametrize("lock", ["build", "image", "loadtest", "runtime"])
def test_the_locks_agree_on_versions(lock: str) -> None:
    dev = lock_pins("dev")

    differing = {name: pin for name, pin in lock_pins(lock).items() if dev.get(name, pin) != pin}

    assert differing == {}


def test_contributing_is_short_and_begins_with_the_layers() -> None:
    text = text_of("CONTRIBUTING.md")

    first_section = re.findall(r"^## (.*)$", text, re.MULTILINE)[0]

    assert len(text.splitlines()) < 120
    assert "layer" in first_section.lower()
