"""The order of dependence, read off the source: science inside, orchestrators at the rim."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "jscgc").rglob("*.py"))

# What each part may import of ours, in the order of the block diagram: nothing below is known above.
ALLOWED: dict[str, set[str]] = {
    "config": set(),
    "device": set(),
    "errors": set(),
    "extras": set(),
    "files": set(),
    "machine": set(),
    "memory": set(),
    "precision": set(),
    "printing": set(),
    "project": set(),
    "registry": set(),
    "seeding": set(),
    "signals": set(),
    "sockets": set(),
    "startup": {"machine"},
    "channel": {"config", "registry"},
    "cluster": {"config", "machine", "printing", "signals", "sockets", "startup"},
    "data": {"config", "files", "printing", "seeding", "signals"},
    "flow": {"config", "registry"},
    "method": {"config", "registry"},
    "parser": {"registry"},
    "sources": {"files"},
    "tracking": {"config", "files", "project"},
    "classical": {"channel", "data", "errors", "seeding"},
    "cli": {"__version__", "extras", "parser", "signals", "startup"},
    "encoder": {"channel", "config"},
    "generator": {"config", "files", "flow", "registry"},
    "information": {"channel", "flow"},
    "latent": {"channel", "config", "files"},
    "metrics": {"extras", "files", "machine", "memory", "parser", "printing", "registry"},
    "preflight": {"generator", "params"},
    "budget": {"channel", "config", "costs", "generator", "latent", "method", "params", "systems"},
    "layers": {"costs", "device", "params", "precision", "seeding"},
    "options": {"channel", "files", "flow", "method", "precision", "registry"},
    "theory": {"channel", "flow", "machine"},
    "systems": {
        "channel",
        "classical",
        "config",
        "data",
        "encoder",
        "errors",
        "files",
        "flow",
        "generator",
        "information",
        "latent",
        "method",
        "precision",
        "seeding",
    },
    "api": {"channel", "data", "device", "files", "flow", "systems"},
    "served": {"api", "data", "device", "systems"},
    "evaluation": {
        "channel",
        "cluster",
        "config",
        "data",
        "device",
        "errors",
        "files",
        "flow",
        "memory",
        "method",
        "metrics",
        "options",
        "parser",
        "precision",
        "printing",
        "sources",
        "systems",
    },
    "params": {
        "channel",
        "cluster",
        "config",
        "data",
        "encoder",
        "evaluation",
        "flow",
        "generator",
        "latent",
        "method",
        "precision",
        "registry",
        "seeding",
        "systems",
        "tracking",
    },
    "report": {
        "channel",
        "data",
        "evaluation",
        "files",
        "information",
        "machine",
        "method",
        "metrics",
        "parser",
        "printing",
    },
    "costs": {"channel", "latent", "method", "params", "systems"},
    "stages": {"channel", "config", "files", "flow", "generator", "method", "metrics", "params", "sources"},
    "transmission": {"channel", "data", "evaluation", "flow", "metrics", "report", "systems"},
    "commands": {
        "__version__",
        "budget",
        "channel",
        "config",
        "costs",
        "data",
        "device",
        "encoder",
        "errors",
        "evaluation",
        "extras",
        "files",
        "latent",
        "layers",
        "method",
        "metrics",
        "options",
        "params",
        "parser",
        "printing",
        "report",
        "systems",
        "theory",
        "transmission",
    },
    "demo": {
        "channel",
        "data",
        "device",
        "errors",
        "flow",
        "method",
        "metrics",
        "options",
        "report",
        "systems",
        "transmission",
    },
    "training": {
        "config",
        "data",
        "device",
        "files",
        "generator",
        "latent",
        "machine",
        "method",
        "metrics",
        "params",
        "precision",
        "printing",
        "seeding",
        "sockets",
        "stages",
        "systems",
    },
    "methods": {
        "channel",
        "classical",
        "config",
        "data",
        "device",
        "encoder",
        "flow",
        "generator",
        "latent",
        "method",
        "metrics",
        "params",
        "seeding",
        "systems",
        "training",
    },
    "sweep": {
        "channel",
        "cluster",
        "config",
        "data",
        "device",
        "evaluation",
        "files",
        "method",
        "metrics",
        "options",
        "params",
        "parser",
        "precision",
        "sources",
        "stages",
        "tracking",
        "training",
    },
    "bench": {
        "channel",
        "classical",
        "cluster",
        "config",
        "costs",
        "data",
        "device",
        "encoder",
        "evaluation",
        "extras",
        "files",
        "flow",
        "generator",
        "latent",
        "machine",
        "method",
        "methods",
        "metrics",
        "options",
        "params",
        "parser",
        "precision",
        "printing",
        "registry",
        "seeding",
        "systems",
        "training",
    },
}
# Where one module is all that a folder may take of another.
ONLY = {
    ("channel", "config"): {"Rate", "Section"},
    ("report", "channel"): {"central", "spec"},
    ("latent", "channel"): {"accounting"},
    ("bench", "generator"): {"lora"},
    ("bench", "flow"): {"params", "path"},
    ("training", "generator"): {"backbones", "lora"},
    ("systems", "data"): {"images"},
    ("classical", "data"): {"images"},
    ("transmission", "channel"): {"accounting"},
    ("transmission", "report"): {"side_by_side"},
    ("transmission", "data"): {"images"},
    ("transmission", "evaluation"): {"judges"},
    ("demo", "channel"): {"accounting", "spec"},
    ("demo", "report"): {"headline", "reading", "side_by_side"},
    ("demo", "systems"): {"base", "load"},
    ("sweep", "evaluation"): {"jobs", "table", "worker"},
    ("sweep", "training"): {"loop", "make"},
    ("sweep", "cluster"): {"tune"},
    ("information", "flow"): {"information"},
    ("report", "evaluation"): {"bd_rate", "judges", "pairing", "statistics"},
    ("options", "channel"): {"spec"},
    ("commands", "evaluation"): {"command"},
    ("report", "data"): {"images"},
    ("evaluation", "systems"): {"base", "cost", "load", "store", "transmit"},
    ("params", "cluster"): {"params"},
    ("params", "evaluation"): {"params"},
    ("params", "systems"): {"params"},
    ("params", "data"): {"params"},
    ("params", "encoder"): {"params"},
    ("params", "latent"): {"params"},
    ("params", "channel"): {"params"},
    ("params", "generator"): {"backbones", "params", "schedule"},
    ("preflight", "generator"): {"schedule"},
    ("budget", "generator"): {"lora"},
    ("params", "flow"): {"params"},
    ("stages", "generator"): {"backbones"},
    ("stages", "flow"): {"solver"},
    ("stages", "metrics"): {"registry"},
    ("methods", "training"): {"latents", "loop", "photos", "receiver", "start"},
    ("theory", "channel"): {"accounting", "channels", "power", "receiver"},
}
# What of others is one module's affair.
OWNERS = {
    "mlflow": {
        "served.py",
        "tracking/cards.py",
        "tracking/delivery.py",
        "tracking/flavor.py",
        "tracking/registry.py",
        "tracking/store.py",
        "tracking/versions.py",
    },
    "ray": {
        "cluster/jobs.py",
        "cluster/session.py",
        "cluster/tune.py",
        "cluster/sharing.py",
        "cluster/train.py",
        "cluster/head.py",
    },
    "optuna": {"sweep/propose.py"},
    "dvc": set(),
    "diffusers": {
        "latent/autoencoder.py",
        "generator/adapter.py",
        "generator/tiny.py",
        "generator/kinds/unet.py",
        "generator/kinds/sana.py",
        "generator/kinds/zimage.py",
    },
    "peft": {"generator/lora.py"},
    "mamba_ssm": {"encoder/kernels.py"},
    "sionna": {"channel/multipath.py", "classical/ldpc.py", "classical/mcs.py"},
    "pillow_heif": {"classical/codecs.py", "data/images.py"},
    "pyarrow": {"evaluation/store.py"},
    # Elsewhere it would take what a user named for markup. The report's table has bold numbers in it.
    "rich": {"printing.py", "report/headline.py"},
    "ruamel": {"config.py"},
    "streamlit": {
        "demo/models.py",
        "demo/page.py",
        "demo/received.py",
        "demo/server.py",
        "demo/settings.py",
        "demo/work.py",
    },
    "yaml": set(),
    # The convolutions of AlexNet and VGG-16 are on the package index as pickles only. It reads them once, from an archive whose
    # checksum is known, with an unpickler that knows three names; see test_metrics_archive.
    "pickle": {"metrics/checkpoints.py"},
    "joblib": set(),
    "dill": set(),
    "cloudpickle": set(),
}


def unit(path: Path) -> str:
    """The folder (or top-level module) of ours that a source belongs to."""
    parts = path.relative_to(ROOT / "jscgc").parts
    return parts[0] if len(parts) > 1 else path.stem


@cache
def tree(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> tuple[str, ...]:
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    """Every dotted name that a source imports, lazily or not, for types or not; strings given to import_module too."""
    for node in tree(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in (
            "import_module",
            "__import__",
            "find_spec",
        ):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def ours() -> Iterator[tuple[Path, str, list[str]]]:
    for path in SOURCES:
        for name in imports(path):
            first, *rest = name.split(".")
            if first == "jscgc":
                yield path, unit(path), rest


def test_every_part_has_its_row():
    assert {unit(path) for path in SOURCES} - {"__init__"} == set(ALLOWED)


@pytest.mark.parametrize("part", ALLOWED)
def test_a_part_imports_only_what_it_may(part):
    wrong = [
        f"{path.relative_to(ROOT)}: {'.'.join(rest)}"
        for path, of, rest in ours()
        if of == part and rest[0] != part and rest[0] not in ALLOWED[part]
    ]
    assert not wrong


def test_the_table_has_no_cycles():
    done: set[str] = {"__version__"}
    left = dict(ALLOWED)
    while left:
        ready = [part for part, needs in left.items() if needs <= done]
        assert ready, f"a cycle among {sorted(left)}"
        done |= set(ready)
        left = {part: needs for part, needs in left.items() if part not in ready}


def test_no_modules_import_each_other_in_a_circle():
    """Lazily neither; imports for types only do not count."""
    from jscgc.sources import _imports, _path

    needs: dict[Path, set[Path]] = {}
    for path in SOURCES:
        named = {
            _path(name.partition(":")[0])
            for name in _imports(ast.parse(path.read_text(encoding="utf-8")))
            if name.startswith("jscgc.")
        }
        # A package's own module stands for itself, not for what is below it.
        needs[path] = {found for found in named if found and found.name != "__init__.py"} - {path}
    left = dict(needs)
    while left:
        ready = [path for path, others in left.items() if not others & left.keys()]
        assert ready, f"a circle among {sorted(path.relative_to(ROOT).as_posix() for path in left)}"
        for path in ready:
            del left[path]


def test_the_table_allows_nothing_that_is_not_used():
    used = {part: {rest[0] for _, of, rest in ours() if of == part} for part in ALLOWED}
    loose = {part: ALLOWED[part] - used[part] for part in ALLOWED}
    assert not {part: names for part, names in loose.items() if names}


@pytest.mark.parametrize("pair", ONLY, ids="-".join)
def test_some_parts_take_one_module_of_another(pair):
    part, other = pair
    wrong = [
        f"{path}: {rest}" for path, of, rest in ours() if of == part and rest[0] == other and rest[1] not in ONLY[pair]
    ]
    assert not wrong


@pytest.mark.parametrize("package", OWNERS)
def test_orchestrators_and_formats_stay_in_their_one_module(package):
    users = {
        path.relative_to(ROOT / "jscgc").as_posix()
        for path in SOURCES
        for name in imports(path)
        if name.split(".")[0] == package
    }
    assert users == OWNERS[package]


@pytest.mark.parametrize("part", ["report", "metrics"])
def test_reports_and_metrics_know_no_system(part):
    assert not [
        path for path, of, rest in ours() if of == part and rest[0] in ("systems", "generator", "encoder", "flow")
    ]


def test_the_report_names_no_torch():
    for path in SOURCES:
        if unit(path) == "report":
            assert not {"torch", "torchvision", "diffusers", "safetensors"} & {n.split(".")[0] for n in imports(path)}


def test_nothing_is_unpickled():
    """torch.load, where it is needed for others' files, says weights_only=True; np.load never allows pickles; the one unpickler
    looks up no name by itself."""
    for path in SOURCES:
        for node in tree(path):
            if not isinstance(node, ast.Call):
                continue
            call = ast.unparse(node.func)
            keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if call in ("torch.load", "load_state_dict_from_url", "torch.hub.load_state_dict_from_url"):
                assert keywords.get("weights_only") == "True", f"{path}:{node.lineno}"
            assert call not in ("torch.save", "pd.read_pickle", "torch.hub.load"), f"{path}:{node.lineno}"
            assert not call.startswith("pickle."), f"{path}:{node.lineno}"
            assert keywords.get("allow_pickle", "False") == "False", f"{path}:{node.lineno}"


def test_the_one_unpickler_finds_names_in_its_own_list():
    (path,) = (ROOT / "jscgc" / name for name in OWNERS["pickle"])
    (reader,) = (
        node for node in tree(path) if isinstance(node, ast.ClassDef) and "Unpickler" in map(_name, node.bases)
    )
    (find,) = (node for node in reader.body if isinstance(node, ast.FunctionDef))
    assert find.name == "find_class" and not {"super", "import_module", "getattr"} & set(map(_name, ast.walk(find)))
    assert [_name(node.func) for node in tree(path) if isinstance(node, ast.Call)].count(reader.name) == 1


def _name(node: ast.AST) -> str:
    return str(getattr(node, "id", getattr(node, "attr", "")))


def test_stages_are_thin():
    """No mathematics in pipeline/, and no orchestrator but through the one module of ours that knows it."""
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        found = {name.split(".")[0] for name in imports(path)}
        assert not found & {"torch", "numpy", "pandas", "scipy", "mlflow", "ray", "diffusers"}, path


def test_the_package_knows_no_stage():
    for path in SOURCES:
        assert not [name for name in imports(path) if name.split(".")[0] in ("pipeline", "tests")], path


def test_no_machine_is_named_in_the_source():
    for path in [*SOURCES, *(ROOT / "pipeline").rglob("*.py"), ROOT / "params.yaml", ROOT / "dvc.yaml"]:
        assert not re.search(r"/home/|/root/|/work/|/Users/|[A-Z]:\\\\", path.read_text(encoding="utf-8")), path


HEAVY = (
    "torch",
    "streamlit",
    "mlflow",
    "ray",
    "optuna",
    "dvc",
    "diffusers",
    "pandas",
    "plotly",
    "matplotlib",
    "sklearn",
    "scipy",
)


def loaded(code: str, *forbidden: str) -> list[str]:
    """Which of these packages a fresh interpreter has imported after `code`."""
    script = f"{code}\nimport sys\nprint('LOADED', *[name for name in {forbidden!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.rsplit("LOADED", 1)[1].split()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["transmit", "--help"], ["demo", "--help"], ["sweep", "--help"], ["--version"]],
    ids=" ".join,
)
def test_help_is_quick(arguments):
    code = f"""
import sys
sys.argv = ["jscgc", *{arguments!r}]
from jscgc.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded(code, *HEAVY) == []


def test_the_report_runs_without_torch_and_orchestrators():
    assert loaded("import jscgc.report", "torch", "mlflow", "ray", "diffusers", "jscgc.systems") == []


@pytest.mark.parametrize(
    "module, forbidden",
    [
        ("jscgc.systems.store", ("mlflow", "ray", "jscgc.training", "jscgc.evaluation")),
        ("jscgc.flow", ("diffusers", "jscgc.generator", "jscgc.systems")),
        ("jscgc.training.make", ("mlflow", "ray", "jscgc.evaluation.run")),
        ("jscgc.method; from jscgc.method import METHODS; list(METHODS)", ("torch", "numpy", "jscgc.systems.base")),
        ("jscgc.params, jscgc.stages", ("torch", "ray", "mlflow", "jscgc.evaluation.run")),
        ("jscgc.config", ("torch", "ruamel", "mlflow", "jscgc.channel.channels")),
        ("jscgc.channel.spec", ("torch", "numpy", "pydantic")),
        ("jscgc.channel.multipath, jscgc.channel.channels, jscgc.channel.receiver", ("sionna", "h5py")),
        ("jscgc.tracking", ("mlflow", "torch")),
    ],
)
def test_importing_one_part_loads_no_more_than_it_needs(module, forbidden):
    assert loaded(f"import {module}", *forbidden) == []


def test_one_module_opens_pictures():
    """One reader, one limit of pixels; the codecs decode what they wrote."""
    opens = re.compile(r"\b(Image\.open|imread|imdecode|read_heif|open_heif)\(")
    found = {
        str(path.relative_to(ROOT / "jscgc")) for path in SOURCES if opens.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"data/images.py", "classical/codecs.py"}
