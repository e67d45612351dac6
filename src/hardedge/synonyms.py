"""What other tools call our commands, options, fields and targets; and the known name that a typo is near to."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final

COMMANDS: Final = {
    "val": "verify",
    "validate": "verify",
    "test": "verify",
    "eval": "verify",
    "infer": "predict",
    "inference": "predict",
    "detect": "predict",
    "segment": "predict",
    "fit": "train",
    "convert": "export",
    "build": "deploy",
    "compile": "deploy",
    "benchmark": "bench",
    "time": "bench",
    "compare": "report",
    "tune-loss": "search-loss",
    "list-models": "models",
    "networks": "models",
    "info": "doctor",
    "checks": "doctor",
    "demo": "run",
}
FIELDS: Final = {
    "lr": "learning_rate",
    "lr0": "learning_rate",
    "base_lr": "learning_rate",
    "epochs": "steps",
    "max_epochs": "steps",
    "epoch": "steps",
    "iterations": "steps",
    "iters": "steps",
    "max_iters": "steps",
    "max_steps": "steps",
    "batch_size": "batch",
    "bs": "batch",
    "imgsz": "crop",
    "img_size": "crop",
    "image_size": "crop",
    "crop_size": "crop",
    "size": "crop",
    "model": "network",
    "arch": "network",
    "backbone": "network",
    "criterion": "loss",
    "optimizer": "optimiser",
    "wd": "weight_decay",
    "warmup": "warm_up",
    "warmup_steps": "warm_up",
    "num_workers": "workers",
    "random_seed": "seed",
    "fp16": "amp",
    "bf16": "bfloat16",
    "val_interval": "evaluate_every",
    "grad_accumulation": "accumulate",
    "hflip": "flip",
    "fliplr": "flip",
}
TARGETS: Final = {
    "jetson": "tensorrt",
    "orin": "tensorrt",
    "trt": "tensorrt",
    "ort": "onnxruntime:cpu",
    "onnx": "onnxruntime:cpu",
    "onnxruntime": "onnxruntime:cpu",
    "cpu": "onnxruntime:cpu",
    "cuda": "onnxruntime:cuda",
    "openvino": "openvino:cpu",
    "ov": "openvino:cpu",
}
# options of other tools that are settings of a recipe here
OPTIONS: Final = {
    f"--{name.replace('_', '-')}": field for name, field in (FIELDS | {each: each for each in FIELDS.values()}).items()
}


def nearest_name(name: str, known: Collection[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """The known name that was meant: what other tools call so, or what is spelt nearly so."""
    meant = (synonyms or {}).get(name.lower())
    if meant in known:
        return meant
    near = get_close_matches(name, known, n=1)
    return near[0] if near else None


def nearest_name_hint(name: str, known: Collection[str], synonyms: Mapping[str, str] | None = None) -> str:
    """The question whether a known name was meant, after a space; nothing where none is near."""
    meant = nearest_name(name, known, synonyms)
    return f" Did you mean {meant}?" if meant else ""


def unknown_field(name: str, known: Collection[str]) -> str | None:
    """What to say of a name that is no field of a recipe; None of one that is."""
    if name in known:
        return None
    hint = nearest_name_hint(name, known, FIELDS) or f" It has: {', '.join(known)}."
    return f"a recipe has no field {name}.{hint}"
