"""Who may import whom: the table of docs/architecture.md, held against the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "pplcnet"

VOCABULARY = {
    "errors", "preprocessing", "prediction", "dataset", "bundle", "evaluation", "auditing",
    "audit_notes", "division", "progress", "decoding", "processor", "cache", "calibration",
    "writable",
    "tables", "stratification", "multilabel", "multilabel_evaluation", "similarity", "checking",
    "files", "wording", "csv_cells", "locking", "parallel", "photo_files", "sights",
    "image_files", "telemetry", "notebook",
    "class_names", "csv_text", "label_cells", "list_files", "list_text", "listed_photos",
    "table_columns",
    "manifest", "manifest_checks", "bundle_members", "bundle_reading", "bundle_writing",
    "guessing", "protobuf", "bundle_packing",
    "image_kinds", "image_limits", "image_structure", "image_profiles",
    "image_colour", "tiff_header",
}  # fmt: skip
RUNS = VOCABULARY | {
    "gathering", "replaced_run", "run_division", "run_files", "run_folder", "stopped_run",
}  # fmt: skip
# Part (a folder or a file of src/pplcnet) to the parts that its modules import at their top.
MAY_IMPORT = {
    "wording": set(),
    "csv_cells": set(),
    "errors": {"wording"},
    "progress": set(),
    "cache": {"errors"},
    "telemetry": set(),
    "calibration": {"errors", "wording"},
    "notebook": {"errors"},
    "processor": set(),
    "writable": {"errors"},
    "image_files": {"errors"},
    "image_kinds": set(),
    "image_limits": {"errors", "tiff_header"},
    "image_structure": {"errors", "image_limits", "tiff_header"},
    "image_profiles": set(),
    "image_colour": {"errors", "image_profiles"},
    "tiff_header": set(),
    "decoding": {
        "errors",
        "image_colour",
        "image_files",
        "image_kinds",
        "image_limits",
        "image_profiles",
        "image_structure",
        "tiff_header",
    },
    "preprocessing": {"errors", "decoding"},
    "prediction": {"errors", "notebook"},
    "class_names": {"errors"},
    "list_text": {"errors", "wording"},
    "csv_text": {"errors", "list_text"},
    "label_cells": {"class_names", "csv_text", "list_text"},
    "tables": {
        "errors",
        "class_names",
        "csv_cells",
        "csv_text",
        "label_cells",
        "list_text",
        "table_columns",
    },
    "table_columns": {"errors", "csv_text", "label_cells", "list_text", "wording"},
    "list_files": {"errors", "class_names", "list_text", "tables", "wording"},
    "listed_photos": {"errors", "decoding", "list_text", "tables", "wording"},
    "stratification": set(),
    "parallel": {"processor"},
    "photo_files": {"errors", "decoding", "image_files", "wording"},
    "dataset": {
        "errors",
        "class_names",
        "decoding",
        "list_files",
        "list_text",
        "listed_photos",
        "photo_files",
        "stratification",
        "table_columns",
        "tables",
        "wording",
        "notebook",
    },
    "multilabel": {"dataset", "tables"},
    "multilabel_evaluation": {"calibration", "multilabel", "tables", "notebook", "wording"},
    "bundle": {"bundle_reading", "manifest"},
    "bundle_members": {"errors"},
    "bundle_reading": {"bundle_members", "errors", "manifest", "notebook"},
    "bundle_packing": {
        "bundle_members",
        "bundle_reading",
        "bundle_writing",
        "errors",
        "files",
        "locking",
        "manifest",
    },
    "bundle_writing": {
        "files",
        "bundle_members",
        "bundle_reading",
        "errors",
        "locking",
        "manifest",
        "manifest_checks",
        "writable",
    },
    "manifest": {"errors", "manifest_checks", "preprocessing", "notebook", "wording"},
    "manifest_checks": set(),
    "protobuf": {"errors"},
    "files": {"errors", "writable"},
    "locking": {"errors"},
    "similarity": {"errors"},
    "audit_notes": {"dataset", "tables", "wording"},
    "sights": {"errors", "decoding", "parallel", "photo_files", "similarity", "wording"},
    "auditing": {"errors", "audit_notes", "dataset", "photo_files", "sights", "tables", "wording"},
    "checking": {"auditing", "dataset", "similarity", "wording"},
    "division": {"csv_cells", "errors", "dataset", "tables", "wording"},
    "evaluation": {
        "errors",
        "calibration",
        "dataset",
        "multilabel",
        "multilabel_evaluation",
        "prediction",
        "tables",
        "notebook",
        "wording",
    },
    "digits": {"errors"},
    "models": VOCABULARY,
    "weights": VOCABULARY | {"models"},
    "training": VOCABULARY | {"models", "weights"},
    "deployment": VOCABULARY | {"models", "weights", "runtime"},
    "runtime": VOCABULARY,
    "reporting": VOCABULARY | {"runtime"},
    "benchmarking": VOCABULARY | {"models", "deployment", "runtime"},
    "run_files": VOCABULARY | {"training"},
    "run_folder": RUNS | {"training"},
    "replaced_run": RUNS | {"training"},
    "stopped_run": RUNS | {"training"},
    "run_division": RUNS | {"training"},
    "gathering": RUNS | {"training"},
    "job_result": VOCABULARY,
    "guessing": {"evaluation", "multilabel_evaluation", "tables"},
    "job": RUNS | {"job_result", "training", "weights"},
    "rate_finding": RUNS | {"training"},
    "suspect_list": VOCABULARY,
    "suspects": {"suspect_list"} | RUNS | {"training", "weights"},
    "cli": VOCABULARY | {"models", "training", "runtime", "weights"},
    "__init__": {"registration"},
    "registration": set(),
    "__main__": {"cli"},
}
# Third-party libraries that a part may import at the top of its modules.
MAY_USE = {
    "decoding": {"numpy", "PIL"},
    "image_colour": {"numpy", "PIL"},
    "image_profiles": {"numpy", "PIL"},
    "preprocessing": {"numpy", "PIL"},
    "prediction": {"numpy"},
    "calibration": {"numpy"},
    "evaluation": {"numpy"},
    "multilabel": {"numpy"},
    "multilabel_evaluation": {"numpy"},
    "similarity": {"numpy", "PIL"},
    "sights": {"numpy", "PIL"},
    "checking": {"numpy"},
    "digits": {"numpy", "PIL"},
    "guessing": {"numpy"},
    "suspects": {"numpy"},
    "models": {"keras", "numpy"},
    "weights": {"keras", "numpy"},
    "training": {"keras", "numpy", "PIL", "tqdm"},
    "deployment": {"keras", "numpy", "onnx"},
    "runtime": {"numpy", "PIL", "onnxruntime", "openvino", "ai_edge_litert"},
    "reporting": {"keras", "numpy", "PIL"},
    "benchmarking": {"numpy", "onnx", "paddle"},
}
# Read before Keras is there: the command line and the job import them.
WITHOUT_KERAS = {
    "models/catalog.py",
    "training/places.py",
    "training/idle_fields.py",
    "training/interruption.py",
    "training/saved_facts.py",
    "training/recipe.py",
    "training/search_space.py",
    "training/searching.py",
    "weights/sources.py",
    "weights/downloading.py",
    "weights/fetching.py",
    "weights/judging.py",
    "weights/limits.py",
    "weights/paddle.py",
    "weights/pickles.py",
    "weights/safetensors_files.py",
    "weights/official.py",
    "deployment/calibrating.py",
    "deployment/judging.py",
    "deployment/measuring.py",
    "deployment/photos.py",
    "deployment/quantization.py",
    "deployment/tuning.py",
    *(f"reporting/{each.name}" for each in (SOURCE / "reporting").glob("*.py")),
} - {"reporting/gradcam.py"}
ENGINES = {
    "onnxruntime": "runtime/onnxruntime_engine.py",
    "openvino": "runtime/openvino_engine.py",
    "ai_edge_litert": "runtime/litert_engine.py",
}

MODULES = sorted(SOURCE.rglob("*.py"))


def _part(module: Path) -> str:
    relative = module.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _top_imports(module: Path) -> Iterator[str]:
    """Dotted names imported when the module is, type checking aside."""
    waiting: list[ast.stmt] = list(ast.parse(module.read_text()).body)
    while waiting:
        statement = waiting.pop()
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield statement.module or ""
            if statement.module == "pplcnet" or (statement.module or "").startswith("pplcnet."):
                yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) != "TYPE_CHECKING":
            waiting += [*statement.body, *statement.orelse]
        elif isinstance(statement, ast.Try):
            waiting += statement.body


@pytest.mark.parametrize("module", MODULES, ids=lambda each: str(each.relative_to(SOURCE)))
def test_module_imports_only_what_its_part_may(module: Path) -> None:
    part = _part(module)
    relative = module.relative_to(SOURCE).as_posix()
    for name in _top_imports(module):
        top, *rest = name.split(".")
        if top == "pplcnet":
            if rest:
                assert rest[0] in MAY_IMPORT[part] | {part}, f"{relative} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert top in MAY_USE.get(part, set()), f"{relative} imports {name}"
            assert not (top == "keras" and relative in WITHOUT_KERAS), f"{relative} imports {name}"
            assert ENGINES.get(top, relative) == relative, f"{relative} imports {name}"


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "common", "core", "base", "misc"}
    assert [module for module in MODULES if module.stem in vague] == []


def test_files_stay_small() -> None:
    assert [m.name for m in MODULES if len(m.read_text().splitlines()) > 400] == []


HEAVY = (
    "keras", "tensorflow", "torch", "jax", "onnx", "matplotlib", "sklearn", "openvino", "nncf",
    "cv2", "simplejpeg", "ai_edge_litert", "cleanlab", "pandas", "optuna", "jinja2", "imagehash",
    "scipy", "filelock",
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import pplcnet", (*HEAVY, "numpy", "onnxruntime", "PIL")),
        ("import pplcnet; pplcnet.Classifier", HEAVY),
        ("from pplcnet.cli.main import main; main(['--help'])", (*HEAVY, "numpy")),
        ("from pplcnet.cli.main import main; main(['models'])", (*HEAVY, "numpy", "onnxruntime")),
    ],
    ids=["import", "classifier", "help", "models"],
)
def test_nothing_heavy_is_imported_for(code: str, forbidden: tuple[str, ...]) -> None:
    report = "import sys; print(sorted(set(sys.argv[1:]) & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}", *forbidden],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]"


VERBS = (
    "train", "distill", "suspects", "check", "evaluate", "report", "export", "quantize", "tune",
    "calibrate", "convert", "predict", "benchmark", "inspect", "models", "demo",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_imports_nothing_heavy(verb: str) -> None:
    code = (
        "import sys\n"
        "from pplcnet.cli.main import main\n"
        "try: main([sys.argv[1], '--help'])\n"
        "except SystemExit as done: assert done.code == 0\n"
        "print(sorted({*sys.argv[2:]} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, verb, *HEAVY, "onnxruntime"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    assert "usage: pplcnet" in done.stdout
