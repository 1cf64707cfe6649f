"""The results of a run are a research object that archives and programs understand."""

import json
from importlib.resources import files

import pytest

from mosaicflow.report.crate import crate

OUTPUTS = ("3d_volume.ome.zarr", "tables/alignment.json", "transforms/z00_transform_xy.npy")


def record(engine, *, is_failed=False):
    return {
        "parameters": {"resolution_um": 10.0, "pyramid_resolutions": [10.0, 25.0]},
        "input": {"digest": "0" * 64},
        "slices": {"found": 3},
        "verdict": {"sentence": "Lengths can be measured everywhere.", "failed": is_failed},
        "outputs": list(OUTPUTS),
        "engine": {"name": engine},
    }  # fmt: skip


def entities(made):
    return {one["@id"]: one for one in made["@graph"]}


@pytest.fixture
def conforms(tmp_path, monkeypatch):
    """Whether a crate meets what a profile requires; the vocabulary is read from a package."""
    services = pytest.importorskip(
        "rocrate_validator.services", reason="needs: pip install roc-validator rocrate"
    )
    from rdflib.plugins.shared.jsonld import context as jsonld
    from rocrate_validator.utils.http import HttpRequester

    newer = files("rocrate").joinpath("data/ro-crate.jsonld").read_text()
    # Version 1.1 has the words of bioschemas at another address.
    words = json.loads(newer.replace("bioschemas.org/terms/", "bioschemas.org/"))

    class Answer:
        status_code, ok = 200, True
        headers = {"Content-Type": "application/ld+json"}  # noqa: RUF012
        text = json.dumps(words)

        def json(self):
            return words

    monkeypatch.setattr(HttpRequester, "get", lambda *_args, **_kwargs: Answer(), raising=False)
    monkeypatch.setattr(jsonld, "source_to_json", lambda *_args, **_kwargs: (words, None))

    def judge(made, profile):
        """What is required and not met."""
        own = ("report.html", "README.txt", "pipeline_info/run.json", "pipeline_info/main.nf")
        for name in (*OUTPUTS, *own):
            path = tmp_path / name
            if name.endswith(".ome.zarr"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(made))
        settings = services.ValidationSettings(
            rocrate_uri=str(tmp_path), profile_identifier=profile, requirement_severity="REQUIRED",
        )  # fmt: skip
        found = services.validate(settings)
        return [f"{issue.check.name}: {issue.message}" for issue in found.get_issues()]

    return judge


def test_every_reference_leads_to_an_entity_and_nothing_is_told_twice():
    for engine in ("nextflow", "mosaicflow run"):
        made = crate(record(engine))
        known = entities(made)
        assert len(known) == len(made["@graph"])
        for one in made["@graph"]:
            for value in one.values():
                told = [
                    part
                    for part in (value if isinstance(value, list) else [value])
                    if isinstance(part, dict)
                ]
                outside = {part["@id"] for part in told} - set(known)
                assert all(name.startswith("http") for name in outside), outside


def test_the_run_says_what_went_in_what_came_out_and_how_it_ended():
    known = entities(crate(record("mosaicflow run", is_failed=True)))
    assert known["#run"]["actionStatus"].endswith("/FailedActionStatus")
    assert known["#value/pyramid_resolutions"]["value"] == "[10.0, 25.0]"
    assert known["3d_volume.ome.zarr/"]["@type"] == "Dataset"
    assert {"@id": "tables/alignment.json"} in known["#run"]["result"]
    assert known["#raw"]["identifier"] == "sha256:" + "0" * 64


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the validator's own
def test_a_run_of_the_workflow_engine_is_a_workflow_run_crate(conforms):
    assert conforms(crate(record("nextflow")), "workflow-run-crate-0.5") == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_run_on_one_machine_is_a_process_run_crate(conforms):
    assert conforms(crate(record("mosaicflow run")), "process-run-crate-0.5") == []
    broken = crate(record("mosaicflow run"))
    entities(broken)["#run"].pop("instrument")
    assert any("instrument" in one for one in conforms(broken, "process-run-crate-0.5"))
