"""What docs/running.md tells people to type: every profile resolves, every option exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

from mosaicflow.simulation import preset
from mosaicflow.simulation.plan import make_plan
from mosaicflow.simulation.truth import write_params

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/running.md").read_text(encoding="utf-8")
CONFIG = (ROOT / "nextflow.config").read_text(encoding="utf-8")
# Options that a run takes from the engine, not from us.
OF_NEXTFLOW = {"-profile", "-c", "-work-dir", "-resume", "-params-file"}
needs_nextflow = pytest.mark.skipif(
    shutil.which("nextflow") is None,
    reason="nextflow is not on PATH: install it to test the workflow",
)


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all("nextflow run . " in line for line in lines)
    return [line.partition("nextflow run . ")[2].split() for line in lines]


def profiles() -> set[str]:
    block = CONFIG[CONFIG.index("profiles {") :]
    return set(re.findall(r"^    (\w+) \{", block, flags=re.M))


def combinations() -> list[str]:
    """List what the page combines, each once."""
    given = [
        command[command.index("-profile") + 1] for command in commands() if "-profile" in command
    ]
    return sorted(set(given))


def defaults() -> dict[str, object]:
    groups = json.loads((ROOT / "nextflow_schema.json").read_text())["$defs"].values()
    return {
        name: rule.get("default") for group in groups for name, rule in group["properties"].items()
    }


def test_the_page_shows_every_profile_and_only_what_exists():
    shown = {name for one in combinations() for name in one.split(",")}
    assert shown <= profiles()
    # `standard` is a run without any; `debug` is named in the text.
    assert profiles() - shown == {"standard", "debug"}


def test_every_option_of_the_page_exists():
    known = defaults()
    for command in commands():
        for word in command:
            assert not word.startswith("--") or word[2:] in known, word
            assert not re.match(r"-\w", word) or word in OF_NEXTFLOW, word


@pytest.mark.parametrize(("profile", "name"), [("test", "toy"), ("test_full", "demo")])
def test_a_profile_that_makes_its_input_says_what_no_raw_file_says(profile, name, tmp_path):
    text = (ROOT / f"conf/{profile}.config").read_text()
    given = dict(re.findall(r"^params\.(\w+) += (.+)$", text, flags=re.M))
    assert given.pop("simulate") == f"'{name}'"
    write_params(tmp_path / "params.yml", tmp_path / "raw", make_plan(preset(name)))
    wanted = yaml.safe_load((tmp_path / "params.yml").read_text())
    wanted.pop("input")
    known = defaults()
    assert {key: json.loads(value) for key, value in given.items()} == {
        key: value for key, value in wanted.items() if value != known[key]
    }


@cache
def resolved(profile: str) -> dict[str, str]:
    """Name -> value as `nextflow config` gives it."""
    words = ["nextflow", "config", "-flat", *(["-profile", profile] if profile else []), str(ROOT)]
    # Plugins of clouds are not to be had without a connection; the configuration needs none.
    offline = {"NXF_OFFLINE": "true", "NXF_PLUGINS_DEFAULT": "false"}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | offline
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split(" = ", 1) for line in done.stdout.splitlines() if " = " in line)


@needs_nextflow
def test_profiles_for_the_environment_and_for_the_place_are_combined():
    found = resolved("slurm,apptainer,debug,test")
    assert found["process.executor"] == "'slurm'"
    assert found["apptainer.enabled"] == "true"
    assert found["params.simulate"] == "'toy'"
    assert "df -h" in found["process.beforeScript"]


@needs_nextflow
@pytest.mark.slow
@pytest.mark.parametrize("profile", ["", "standard", "debug", *combinations()])
def test_every_combination_of_the_page_resolves(profile):
    found = resolved(profile)
    places = {
        "slurm": "slurm", "lsf": "lsf", "sge": "sge", "pbs": "pbspro", "awsbatch": "awsbatch",
        "gbatch": "google-batch", "k8s": "k8s", "standard": "local",
    }  # fmt: skip
    for name in profile.split(","):
        if name in places:
            assert found["process.executor"] == f"'{places[name]}'"
        elif name in {"docker", "podman", "apptainer", "singularity", "conda"}:
            assert found[f"{name}.enabled"] == "true"
    # Whatever the place, what was killed asks for more.
    assert found["process.'withLabel:volume'.memory"].endswith(", 8 * 1024) * task.attempt }")
