"""Writes docs/schema/*.json, cli.md, glossary.md and the table of recipes.md from the code: python docs/generate.py.

Tests compare.
"""

import json
import re
import sys
from pathlib import Path

import click

from hardedge.contracts import (
    Acceptance,
    Bundle,
    Certificate,
    Checkpoint,
    Comparison,
    Dossier,
    EdgeNetworkManifest,
    Engine,
    Imports,
    Report,
    ServedModel,
    Signature,
    json_schema,
)
from hardedge.pages.glossary import glossary_markdown

HERE = Path(__file__).parent
# the parts of docs/api.md: what is documented, and the cell of notebook.py or examples.py that is its example
API = {
    "Start": ("hardedge.pipeline.run", "hardedge.contracts.files.load_artefact"),
    "Data": (
        *("hardedge.data.opening.open_dataset", "hardedge.data.dataset.Dataset"),
        *("hardedge.data.checking.check.check_dataset", "hardedge.data.streets.write.write_streets"),
    ),
    "Train": (
        *("hardedge.train.stage.train", "hardedge.train.recipe.Recipe", "hardedge.train.losses.parse_loss"),
        *("hardedge.train.studies.sweep.sweep", "hardedge.train.studies.search_loss.search_loss"),
        "hardedge.train.hard.ranking.rank_hard",
    ),
    "Export": (
        *("hardedge.export.stage.export", "hardedge.export.identity.certificate.certify"),
        "hardedge.export.tune.stage.tune",
    ),
    "Deploy": (
        *("hardedge.deploy.stage.deploy", "hardedge.deploy.stage.DeployPlan", "hardedge.deploy.engines.build.build"),
        *("hardedge.deploy.verification.stage.verify", "hardedge.deploy.verification.gates.Gates"),
        *("hardedge.deploy.report.two_reports.compare_reports", "hardedge.deploy.latency.bench.bench"),
        "hardedge.deploy.bundles.signing.sign",
    ),
    "On the device": (
        *("hardedge.deploy.segmenter.Segmenter", "hardedge.deploy.segmentation.Segmentation"),
        *("hardedge.deploy.prediction.predict.predict", "hardedge.deploy.prediction.live.predict_camera"),
        "hardedge.deploy.triton.repository.write_model",
    ),
    "Errors": ("hardedge.errors",),
}
CELLS_OF = {"load_artefact": "load", "DeployPlan": "deploy", "Gates": "deploy", "Segmentation": "Segmenter"}
# whose example is a command of the pages, which tests run: they need a camera, another server, or minutes
COMMANDS_OF = {
    "search_loss": "hardedge search-loss camvid --data my_data --out runs/loss",
    "tune": "hardedge tune runs/a_bundle --data my_data --out runs/a_tuned",
    "predict_camera": "hardedge predict runs/a_bundle --camera 0 --out watched",
    "write_model": "hardedge triton runs/a_bundle --out models",
}
API_HEAD = """# Python

Made by `python docs/generate.py`. The stages are functions; the command line only parses, calls and prints. `import hardedge`
offers `run`, `load`, `open_dataset`, `Segmenter` and `Report`; `hardedge.train`, `hardedge.export` and `hardedge.deploy` offer
their stages. A path is text or a path object. The examples are the cells of `docs/notebook.py`, from data to verdict, and of
`docs/examples.py`, which goes on where it ends: tests run both.
"""
RECIPES = HERE / "recipes.md"
CONTRACTS = (
    *(Checkpoint, EdgeNetworkManifest, Bundle, Certificate, Engine, Report, Comparison, Dossier, ServedModel),
    *(Signature, Imports),
    Acceptance,
)


def generated() -> dict[str, str]:
    """The text of each schema file, by file name."""
    return {f"{kind.__name__.lower()}.json": json.dumps(json_schema(kind), indent=1) + "\n" for kind in CONTRACTS}


def with_recipes(page: str) -> str:
    """The page with its table of the recipes, its only table, as the code has it."""
    from hardedge.train.recipes import RECIPES
    from hardedge.train.recipes.listing import recipe_table, recipe_table_markdown

    table = recipe_table_markdown(recipe_table(RECIPES.values()))
    return re.sub(r"(?:^\|.*\n)+", lambda _: f"{table}\n", page, count=1, flags=re.MULTILINE)


def command_line() -> str:
    """The page with the help of every command."""
    from hardedge.cli import cli

    head = "# Command line\n\nMade by `python docs/generate.py` from the commands themselves.\n"
    texts = [head, _help(cli, "hardedge")]
    texts += [_help(command, f"hardedge {name}") for name, command in sorted(cli.commands.items())]
    return "\n".join(texts)


def api_page() -> str:
    """The page of the library: each name with its types, as mkdocstrings reads them, and an example."""
    cells, parts = example_cells(), [API_HEAD]
    for title, names in API.items():
        parts.append(f"## {title}\n")
        parts += [f"::: {name}\n{_example(name.rpartition('.')[2], cells)}" for name in names]
    return "\n".join(parts)


def example_cells() -> dict[str, str]:
    """The cells of notebook.py and examples.py that have a title, by it."""
    text = "\n".join((HERE / name).read_text() for name in ("notebook.py", "examples.py"))
    found = re.findall(r"^# %% (\w+)\n(.*?)(?=^# %%|^# Examples|\Z)", text, re.MULTILINE | re.DOTALL)
    return {title: code.strip() for title, code in found}


def _example(name: str, cells: dict[str, str]) -> str:
    if name in COMMANDS_OF:
        return f"\nFrom the command line:\n\n    {COMMANDS_OF[name]}\n"
    cell = cells.get(CELLS_OF.get(name, name))
    # not "python": these blocks need the ones before them
    return f"\n```py\n{cell}\n```\n" if cell else ""


def _help(command: click.Command, name: str) -> str:
    # as the program has it: click keeps the first help option that it makes of a command
    names = ["-h", "--help"]
    context = click.Context(command, info_name=name, help_option_names=names, max_content_width=100, terminal_width=100)
    return f"## {name}\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    for name, text in generated().items():
        (HERE / "schema" / name).write_text(text)
    RECIPES.write_text(with_recipes(RECIPES.read_text()))
    (HERE / "cli.md").write_text(command_line())
    (HERE / "api.md").write_text(api_page())
    if "--networks" in sys.argv:  # which takes a minute
        from hardedge.contracts import to_json
        from hardedge.models.complexity import network_table
        from hardedge.networks import STORED

        STORED.write_text(to_json(network_table()))
    (HERE / "glossary.md").write_text(glossary_markdown())
