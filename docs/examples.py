# Examples of docs/api.md that docs/notebook.py does not have. It leaves streets, checkpoint, bundle, engine and deployed.

# %% sign
from hardedge.deploy.bundles.signing import sign, write_keys

public = write_keys("release.pem")
signature = sign("bundle", "release.pem")

# %% bench
from hardedge.deploy.latency.bench import bench, bench_text

print(bench_text(bench("bundle", [("onnxruntime:cpu", "fp32")], seconds=2)))

# %% certify
from hardedge.export.identity.certificate import certify

certificate = certify("bundle/model.onnx", "checkpoint", targets=())
print(certificate.level0.status)

# %% rank_hard
from hardedge.train.hard.ranking import rank_hard

ranking = rank_hard("streets", "checkpoint", "hard", splits=["val"])
print(ranking.images[0].id, ranking.images[0].hardness)

# %% sweep
from hardedge.train.recipes import find_recipe
from hardedge.train.studies.sweep import sweep

short = find_recipe("streets", {"loss": "ce", "branches": "", "steps": "2", "batch": "2", "evaluate_every": "2"})
compared = sweep(short, "streets", "sweep", losses=["ce", "ce + 0.5*cpg"], seeds=[0, 1])

# %% run
from hardedge import run

report = run("run", data="streets", recipe=short, targets=["onnxruntime:cpu"], latency=2)
print(report.verdict)
