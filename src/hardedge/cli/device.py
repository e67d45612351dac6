"""Commands for the device: who is trusted, and what is missing here."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hardedge.cli.commands import command
from hardedge.cli.options import FOLDER, force_option, json_option, target_option
from hardedge.cli.parts import print_result, read_targets
from hardedge.errors import GateFailed, Unavailable


@command()
@click.argument("artefact", type=FOLDER, required=False)
@click.option("--key", type=FOLDER, help="The private key to sign with (Ed25519, PEM).")
@click.option("--new-key", type=FOLDER, metavar="PATH", help="Write a new private key, and its public half PATH.pub.")
@json_option
def sign(artefact: Path | None, key: Path | None, new_key: Path | None, as_json: bool) -> None:
    """Sign a bundle or an engine.

    Writes the signature beside the manifest (bundle.json.sig). On the device --trust KEY.pub loads what was signed with
    this key, and nothing else; docs/runtime.md says what an unsigned manifest does not protect from.

    Example: hardedge sign runs/a_bundle --key release.pem
    """
    from hardedge.deploy.bundles.signing import sign, write_keys

    if (new_key is None) == (artefact is None and key is None) or (artefact is None) != (key is None):
        raise click.UsageError("Give ARTEFACT and --key to sign, or --new-key alone to make a pair of keys.")
    if new_key is not None:
        public = write_keys(new_key)
        print_result({"private_key": str(new_key), "public_key": str(public)}, str(public), as_json)
    elif artefact is not None and key is not None:
        made = sign(artefact, key)
        print_result(made, f"{artefact}: signed with {made.public_key[:16]}... on {made.signed}", as_json)


@command()
@click.argument("artefact", type=FOLDER, required=False)
@json_option
def doctor(artefact: Path | None, as_json: bool) -> None:
    """Say what keeps engines from running here.

    Names each obstacle (GPU, driver, CUDA, TensorRT, JetPack, onnxruntime) with the command that fixes it; with an
    engine or a bundle, what it needs. Exit code 3 when there is an obstacle.

    Example: hardedge doctor runs/a_deploy/engines/tensorrt
    """
    from hardedge.deploy.doctor.doctor import diagnose, diagnosis_text, engine_in
    from hardedge.deploy.doctor.machine_description import describe_machine

    diagnosis = diagnose(describe_machine(), engine_in(artefact))
    print_result(diagnosis, diagnosis_text(diagnosis), as_json)
    if diagnosis.obstacles:
        sys.exit(Unavailable.exit_code)


@command()
@target_option
@click.option("--precision", help="Only these of fp32,fp16,bf16,int8,fp8, as a list; without it all.")
@click.option("--quick", is_flag=True, help="Few repetitions: a minute instead of half an hour.")
@click.option("--out", type=FOLDER, help="A JSON file to write: to keep, or to attach to a bug report.")
@force_option
@json_option
def acceptance(
    targets: tuple[str, ...], precision: str | None, quick: bool, out: Path | None, force: bool, as_json: bool
) -> None:
    """Try every engine that this machine can build or open.

    A small trained network that comes with hardedge goes through each runtime in each precision: build, golden masks,
    batches, profiles, CUDA graphs, streams, refit, caches, 500 loads, 5,000 images, latency, energy, and engines that
    must be refused. No data and no torch are needed. The JSON names no path, host or user.

    Example: hardedge acceptance --out acceptance.json
    """
    from hardedge.artefact import require_folder
    from hardedge.contracts import to_json, write_atomically
    from hardedge.deploy.acceptance.stage import accept
    from hardedge.deploy.acceptance.text import acceptance_text
    from hardedge.deploy.precisions import parse_precisions
    from hardedge.errors import BadInput

    if out and out.exists() and not force:
        raise BadInput(f"{out} exists. Give another --out, or --force.")
    if out:
        require_folder(out.parent)
    found = accept(read_targets(targets), parse_precisions(precision) if precision else (), quick=quick)
    if out:
        write_atomically(out, to_json(found).encode())
    print_result(found, acceptance_text(found), as_json)
    if found.verdict == "fail":
        raise GateFailed("a part of the acceptance does not hold. The lines above say which.")
