"""The workflow, the schema, the commands and the stages must say the same."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import stat
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated

import pytest
import yaml

from mosaicflow import __version__, names
from mosaicflow.engine.declared import ENGINE_PARAMETERS, RUN_PARAMETERS
from mosaicflow.engine.parameters import stage_settings
from mosaicflow.limits import Limit, choices_of, plain_type
from mosaicflow.names import Kind
from mosaicflow.stages._contract import Contract, Option
from mosaicflow.stages._table import STAGES

ROOT = Path(__file__).parents[2]
MODULES = ROOT / "modules"
# Connections between stages that a module's script writes itself.
OPTION = re.compile(r"--([a-z][a-z0-9-]*)")
# Parameters of the workflow that no stage reads; some are read, and declared, by nextflow.config.
IN_CONFIG = {"output", "publish_mode", "container", "granularity"}
OF_THE_WORKFLOW = set(RUN_PARAMETERS)
# Modules that are no stage: they make data up, run several stages, send results to a bucket, or say
# what tasks take.
NO_STAGES = {"simulate", "run_stages", "draw_volume", "put_results", "predict_resources"}


@cache
def _generator(name="generate_parameters"):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def _params_block() -> dict[str, tuple[str, str]]:
    """Name -> (type, default as written) of main.nf."""
    main = (ROOT / "main.nf").read_text(encoding="utf-8")
    block = re.search(r"^params \{\n(.*?)^\}", main, flags=re.S | re.M)[1]
    lines = re.findall(r"^ {4}(\w+)(?:: ([\w<>]+\??))?(?: = (.*))?$", block, flags=re.M)
    # Without a type: a word or a number.
    return {name: (kind or "String", default) for name, kind, default in lines}


def _literal(text: str) -> object:
    return None if text == "" else json.loads(text.replace("'", '"'))


@cache
def _schema() -> dict[str, dict]:
    return _properties(json.loads((ROOT / "nextflow_schema.json").read_text(encoding="utf-8")))


def _properties(schema: dict) -> dict[str, dict]:
    groups = schema["$defs"].values()
    return {name: entry for group in groups for name, entry in group["properties"].items()}


def _settings() -> dict[str, object]:
    """Name -> default of everything that the Python side knows."""
    found = {name: item.default for name, item in ENGINE_PARAMETERS.items()}
    for stage in STAGES:
        found |= {name: default for name, (_, default) in stage_settings(stage).items()}
    return {
        name: [v if isinstance(v, str) else float(v) for v in value]
        if isinstance(value, tuple)
        else value
        for name, value in found.items()
    }


GENERATORS = ("generate_parameters", "generate_modules", "generate_pages")


@pytest.mark.parametrize("name", GENERATORS)
def test_generated_files_are_up_to_date(name):
    for path, text in _generator(name).render_all().items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python docs/{name}.py"


def test_the_workflow_declares_exactly_the_settings_of_the_stages():
    block = _params_block()
    assert set(block) == set(_settings()) | OF_THE_WORKFLOW - IN_CONFIG
    for name, default in _settings().items():
        assert _literal(block[name][1]) == default, name


def test_the_schema_describes_exactly_the_settings_of_the_stages():
    schema = _schema()
    assert set(schema) == set(_settings()) | OF_THE_WORKFLOW
    for name, default in _settings().items():
        assert schema[name].get("default") == default, name
        assert schema[name]["description"], name


def test_types_of_workflow_and_schema_agree():
    words = {
        "String": "string",
        "Path": "string",
        "Integer": "integer",
        "Float": "number",
        "Boolean": "boolean",
        "List<Float>": "array",
        "List<String>": "array",
    }
    for name, (kind, _) in _params_block().items():
        expected = words[kind.removesuffix("?")]
        assert _schema()[name]["type"] == ([expected, "null"] if kind.endswith("?") else expected)


def test_one_name_has_one_type_and_default_in_all_stages():
    seen: dict[str, tuple] = {}
    for stage in STAGES:
        for name, found in stage_settings(stage).items():
            assert seen.setdefault(name, found) == found, f"{name} of {stage}"


def test_defaults_have_the_type_that_the_command_line_would_give():
    # Parameters are recorded: 10 and 10.0 would make the two engines' metadata differ.
    for stage in STAGES:
        for name, (kind, default) in stage_settings(stage).items():
            items = default if isinstance(default, tuple) else (default,)
            if "float" in str(kind) and not choices_of(kind):
                assert all(item is None or type(item) is float for item in items), name


def test_configuration_declares_the_parameters_that_it_reads():
    config = (ROOT / "nextflow.config").read_text(encoding="utf-8")
    block = re.search(r"^params \{\n(.*?)^\}", config, flags=re.S | re.M)[1]
    found = dict(re.findall(r"^\s+(\w+)\s+= '(.*)'$", block, flags=re.M))
    assert found == {name: _schema()[name]["default"] for name in IN_CONFIG}


@cache
def _passed_settings() -> dict[str, set[str]]:
    """Stage -> names that functions/contracts.nf gives it."""
    text = (ROOT / "functions" / "contracts.nf").read_text(encoding="utf-8")
    text = re.search(r"^def optionNames.*?^\}", text, flags=re.S | re.M)[0]
    entries = re.findall(r"^ {8}(\w+): (\[.*?)(?=^ {8}\w+:|^ {4}\])", text, flags=re.S | re.M)
    return {stage: set(re.findall(r"'(\w+)'", value)) for stage, value in entries}


# They are files, so the workflow stages them.
def _staged(stage: str) -> set[str]:
    return {name for name, (hint, _) in stage_settings(stage).items() if plain_type(hint) is Path}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_gets_all_of_its_settings_and_no_other(stage):
    assert _passed_settings()[stage] == set(stage_settings(stage)) - _staged(stage)


@cache
def _help(stage: str) -> set[str]:
    """Options that a stage's command takes."""
    result = subprocess.run(
        [sys.executable, ROOT / "bin" / f"{stage}.py", "--help"],
        capture_output=True,
        text=True,
        env={"COLUMNS": "400", "PATH": ""},
        check=True,
    )
    return set(OPTION.findall(result.stdout))


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_that_a_module_passes_exists(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    script = module[module.index("    script:") : module.index("    stub:")]
    passed = set(OPTION.findall(script)) | {
        name.replace("_", "-") for name in _passed_settings()[stage] | _staged(stage)
    }
    assert passed <= _help(stage)


@pytest.mark.parametrize("stage", STAGES)
def test_one_stem_for_module_process_command_and_page(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    assert re.findall(r"^process (\w+) \{", module, flags=re.M) == [stage.upper()]
    assert f"    {stage}.py \\" in module
    command = ROOT / "bin" / f"{stage}.py"
    assert command.stat().st_mode & stat.S_IXUSR
    assert f'stage_command("{stage}")' in command.read_text(encoding="utf-8")
    assert (MODULES / stage / "tests" / "main.nf.test").is_file()


@pytest.mark.parametrize("name", sorted(NO_STAGES))
def test_a_module_of_no_stage_is_described_as_it_is(name):
    module = (MODULES / name / "main.nf").read_text(encoding="utf-8")
    told = yaml.safe_load((MODULES / name / "meta.yml").read_text(encoding="utf-8"))
    assert told["name"] == name
    takes = module.partition("input:")[2].partition("output:")[0]
    assert {key for one in told["input"] for key in one} == set(
        re.findall(r"(?:path|val)[ (](\w+)", takes)
    )
    assert [key for one in told["output"] for key in one] == re.findall(r"emit: (\w+)", module)
    for tool in told["tools"]:
        assert all((ROOT / one["documentation"]).is_file() for one in tool.values())


def test_no_module_command_or_page_without_a_stage():
    assert {path.parent.name for path in MODULES.glob("*/main.nf")} == set(STAGES) | NO_STAGES
    assert {path.stem for path in (ROOT / "bin").glob("*.py")} == set(STAGES)
    assert {path.stem for path in (ROOT / "docs" / "stages").glob("*.md")} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_modules_read_only_their_inputs(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    for banned in ("params", "publishDir", "when:", "projectDir", "task.ext", "|| true", "2>"):
        assert banned not in module, banned
    assert "    cache 'deep'" in module
    assert "eval('mosaicflow --version'), topic: versions" in module
    assert module.index("    script:") < module.index("    stub:")


@pytest.mark.parametrize("stage", [stage.name for stage in STAGES.values() if stage.per == "slice"])
def test_a_slice_stage_gives_a_result_or_a_record(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    module = module.replace("${suffixOf(settings)}", "")  # of other channels
    assert "--failure-record z${id}_failure.json" in module
    assert _optional_rows(module, r"val\(id\)") == ["made", "failure"]


def test_a_pair_gives_a_transform_or_a_record():
    module = (MODULES / "register_pairwise" / "main.nf").read_text(encoding="utf-8")
    module = module.replace("${suffixOf(settings)}", "")  # of other channels
    assert "--failure-record z${fixed_id}_z${moving_id}_failure.json" in module
    assert _optional_rows(module, r"val\(fixed_id\), val\(moving_id\)") == ["made", "failure"]


def _optional_rows(module: str, ids: str) -> list[str]:
    """List the outputs that come as a whole or not at all: a missing file is a lost slice."""
    rows = rf"^    tuple {ids},[^:]*?(?:[^:]*: 'dir'\)[^:]*?)?optional: true, emit: (\w+)$"
    return re.findall(rows, module, re.M | re.S)


@pytest.mark.parametrize("stage", STAGES)
def test_a_module_takes_what_its_stage_makes_and_nothing_else(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    outputs = module[module.index("    output:") : module.index("    script:")]
    outputs = outputs.replace("${suffixOf(settings)}", "")  # of other channels
    found = re.findall(r"""path[ (]["'](.*?)["'](?=[,)])""", outputs)
    named = {re.sub(r"z(\$\{\w+\}|\*)", "{z}", one) for one in found if "${name}" not in one}
    beside = re.compile(r".*(\.metrics\.json|\.crc32c\.json|_failure\.json)|\$\{volume.*")
    made = {one for one in named if not beside.fullmatch(one)}
    assert made == {kind.pattern for kind in STAGES[stage].contract.makes}


@pytest.mark.parametrize("stage", STAGES)
def test_a_module_hands_on_every_file_that_its_stage_reads(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    script = module[module.index("    script:") : module.index("    stub:")]
    handed = set(OPTION.findall(script)) | set(
        re.findall(r"[\[,] ?(\w+): ", "".join(re.findall(r"def given = .*", script)))
    )
    files = _generator("generate_modules")._files(STAGES[stage].contract)
    assert {name.replace("_", "-") for name in files} <= {one.replace("_", "-") for one in handed}


@pytest.mark.parametrize("stage", STAGES)
def test_a_module_has_the_resources_of_its_contract(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    assert re.findall(r"^    label '(\w+)'", module, flags=re.M) == [STAGES[stage].contract.label]


@pytest.mark.parametrize("stage", STAGES)
def test_no_output_hides_a_missing_file(stage):
    module = (MODULES / stage / "main.nf").read_text(encoding="utf-8")
    outputs = module[module.index("    output:") : module.index("    script:")]
    for pattern in re.findall(r"path[ (](['\"].*?['\"])[,)]", outputs):
        several = re.search(r"\*|(?<!\$)\{", pattern)
        assert not several or f"{pattern}, arity: '1..*'" in outputs, pattern


def test_labels_have_resources():
    base = (ROOT / "conf" / "base.config").read_text(encoding="utf-8")
    known = set(re.findall(r"withLabel: (\w+)", base))
    used = {
        label
        for path in MODULES.glob("*/main.nf")
        for label in re.findall(r"label '(\w+)'", path.read_text(encoding="utf-8"))
    }
    assert used == known
    assert len(known) <= 6


def test_a_module_and_its_description_follow_a_contract():
    generator = _generator("generate_modules")
    wanted = generator.render_all()
    assert {ROOT / "bin" / f"{stage}.py" for stage in STAGES} <= set(wanted)
    contract = STAGES["correct_axial"].contract
    module = MODULES / "correct_axial" / "main.nf"
    assert wanted[module] == generator.render_module(contract)
    other = replace(contract, name="blur", label="tiles", makes=(Kind("blur_{z}.ome.zarr", ""),))
    changed = generator.render_module(other)
    assert "process BLUR {" in changed
    assert "    label 'tiles'" in changed
    assert "mkdir blur_z${id}${suffixOf(settings)}.ome.zarr" in changed
    of_all = replace(STAGES["solve_alignment"].contract, name="settle", makes=(names.CURVATURE,))
    settled = generator.render_module(of_all)
    assert "    path slices, arity: '1..*'\n    path transforms\n" in settled
    assert """json", optional: true, emit: curvature\n    tuple path("focal_""" in settled
    assert "--output-dir ." in settled
    found = generator.describe("stitch_3d", (MODULES / "stitch_3d" / "main.nf").read_text("utf-8"))
    assert [name for one in found["input"] for name in one] == ["grid", "positions", "distortion"]
    assert found["output"][0]["made"]["pattern"][0] == "slice_z${id}_stitch_3d.ome.zarr"
    assert all(one[name]["pattern"] for one in found["output"] for name in one)


def test_the_version_of_the_workflow_is_that_of_the_package():
    config = (ROOT / "nextflow.config").read_text(encoding="utf-8")
    assert re.search(r"^    version +=  *'(.*)'$", config, flags=re.M)[1] == __version__
    assert _schema()["container"]["default"] == f"mosaicflow:{__version__}"


def test_everything_that_lists_parameters_follows_a_contract(monkeypatch):
    """A new option gets into every generated file, with its type, limit and words."""
    contract = STAGES["normalize"].contract
    options = {**contract.options, "new_gain": Option(Annotated[float, Limit(above=0)], 1.5)}
    texts = {**contract.texts(), "new_gain": "How much brighter."}
    monkeypatch.setattr(Contract, "options", property(lambda one: _of(one, contract, options)))
    monkeypatch.setattr(Contract, "texts", lambda one: texts if one is contract else _TEXTS(one))
    made = {path.name: text for path, text in _generator().render_all().items()}
    assert "    // How much brighter\n    new_gain: Float = 1.5\n" in made["main.nf"]
    entry = _properties(json.loads(made["nextflow_schema.json"]))["new_gain"]
    assert (entry["exclusiveMinimum"], entry["default"], entry["type"]) == (0, 1.5, "number")
    assert entry["errorMessage"] == "expected a number above 0"
    assert "'new_gain'" in made["contracts.nf"]
    assert (
        "| `new_gain` | float | `1.5` | How much brighter. | `normalize` |" in made["parameters.md"]
    )


_OPTIONS, _TEXTS = Contract.options.func, Contract.texts


def _of(one: Contract, changed: Contract, options: dict[str, Option]) -> dict[str, Option]:
    return options if one is changed else _OPTIONS(one)


EDITS = {
    "generate_parameters": (
        ("main.nf", "crop_depth_um: Float = 600.0", "crop_depth_um: Float = 500.0"),
        ("nextflow_schema.json", '"default": 600.0', '"default": 500.0'),
        ("docs/parameters.md", "`600.0`", "`500.0`"),
        ("functions/contracts.nf", "'crop_depth_um', ", ""),
    ),
    "generate_modules": (
        ("bin/stack.py", 'stage_command("stack")', 'stage_command("export")'),
        ("modules/correct_axial/main.nf", "label 'slice'", "label 'volume'"),
        ("modules/solve_alignment/main.nf", "emit: alignment", "emit: places"),
        ("modules/stack/meta.yml", "per run", "per slice"),
    ),
    "generate_pages": (
        ("docs/stages/crop_interface.md", "| 600.0 |", "| 500.0 |"),
        ("docs/stages/stitch_3d.md", "above 1.3", "above 1.4"),
    ),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_refuses_to_write_over_an_edit_by_hand(name, monkeypatch, tmp_path, capsys):
    generator = _generator(name)
    wanted = {tmp_path / path.relative_to(ROOT): t for path, t in generator.render_all().items()}
    judge = [generator.holds_edit] if hasattr(generator, "holds_edit") else []
    monkeypatch.setattr(sys, "argv", [name])
    assert generator.write_all(name, wanted, *judge) == 0
    assert all(path.read_text("utf-8") == text for path, text in wanted.items())
    other = {path: f"{text}\n" for path, text in wanted.items()}  # of a later contract
    for file, was, now in EDITS[name]:
        path = tmp_path / file
        assert was in wanted[path]
        path.write_text(wanted[path].replace(was, now), encoding="utf-8")
        assert generator.write_all(name, other, *judge) == 1
        said = capsys.readouterr().err
        assert (said.count("was edited by hand"), str(path) in said) == (1, True)
        path.write_text(wanted[path], encoding="utf-8")
    assert generator.write_all(name, other, *judge) == 0
    assert all(path.read_text("utf-8") == text for path, text in other.items())


def test_the_generator_answers_whether_files_are_stale(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["generate_parameters.py", "--check"])
    with contextlib.redirect_stderr(io.StringIO()) as complaints:
        assert _generator().main() == 0
    assert complaints.getvalue() == ""
