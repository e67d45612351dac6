# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# Opened by Jupyter with jupytext, or run as it is: python docs/notebook.py

# %% [markdown]
# # From data to verdict
# Draw a small data set, train a network, export it, build an engine, and verify that the engine is the network.
# The network trains for a few steps only: the masks are poor, and the verdict is about what ships all the same.

# %% write_streets
from hardedge.data.streets.write import write_streets

write_streets("streets", images={"train": 8, "val": 4, "test": 30})

# %% open_dataset
from hardedge import open_dataset

data = open_dataset("streets")
data

# %% Dataset
image, mask = data.split("test")[0]
assert image.shape == (*mask.shape, 3)
print(len(data), "images of", data.task.num_classes, "classes")

# %% check_dataset
from hardedge.data.checking.check import check_dataset, check_text

print(check_text(check_dataset("streets")))

# %% [markdown]
# ## Train
# A loss is called with logits and a target; a recipe holds everything that a training needs.

# %% parse_loss
import torch

from hardedge.train.losses import parse_loss

loss = parse_loss("ce + 0.5*cpg")
logits, target = torch.randn(2, 9, 64, 128, requires_grad=True), torch.randint(0, 9, (2, 64, 128))
loss(logits, target).backward()

# %% Recipe
from hardedge.train.recipes import find_recipe

recipe = find_recipe(
    "streets", {"loss": "ce + 0.5*cpg", "branches": "", "steps": "4", "batch": "2", "evaluate_every": "4"}
)

# %% train
from hardedge.train import train

checkpoint = train(recipe, "streets", "checkpoint")
print(f"{checkpoint.validation.miou:.1f} % mIoU on the validation split")

# %% [markdown]
# ## Export
# One ONNX file, uint8 image in, uint8 mask out, with its reference masks and its identity certificate.

# %% export
from hardedge.export import export

bundle = export("checkpoint", "streets", "bundle")
bundle

# %% load
import hardedge

assert hardedge.load("bundle") == bundle

# %% [markdown]
# ## Deploy and verify

# %% deploy
from hardedge.deploy import deploy
from hardedge.deploy.stage import DeployPlan
from hardedge.deploy.verification.gates import Gates

plan = DeployPlan(engines=[("onnxruntime:cpu", "fp32")], gates=Gates(max_miou_drop=0.5), latency=2)
report = deploy("bundle", "streets", "deployed", plan)
report

# %% build
from hardedge.deploy import build

engine = build("bundle", "onnxruntime:cpu", "engine")

# %% verify
from hardedge.deploy import verify

again = verify("bundle", "engine", "streets", "verified", latency_seconds=0)
print(again.verdict, [(gate.name, gate.status) for gate in report.gates])

# %% compare_reports
from hardedge.deploy.report.two_reports import compare_reports

comparison = compare_reports("deployed", "verified")

# %% [markdown]
# ## Use it
# No torch from here on.

# %% Segmenter
from hardedge import Segmenter

with Segmenter.load("bundle") as segmenter:
    found = segmenter(data.image_path(data.splits["test"][0]))
found.save("mask.png")
found

# %% predict
from hardedge.deploy import predict

masks = predict("bundle", "streets/images", "segmented")
assert len(masks) == len(data)
