"""The rows of benchmarks/gains.py: what is trained, and beside which other row it stands."""

from dataclasses import dataclass

from hardedge.data.dataset import Labels


@dataclass(frozen=True)
class Row:
    """One way to train. Its loss and what that needs are all that differs from the row that is its baseline.

    In the loss, {class_weights} are those of the training split and {edges} is an edge network's directory. `maps_of`
    names the row whose checkpoint of the same seed gives static hardness maps.
    """

    name: str
    loss: str
    branches: str = ""
    baseline: str = "ce"
    maps_of: str = ""
    labels: Labels = "masks"
    processes: int = 1


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("ce", "ce"),
        Row("ohem", "ohem"),
        Row("hardness-light", "hardness", branches="light"),
        Row("hardness-faithful", "hardness", branches="faithful"),
        Row("recall", "recall"),
        Row("cpg", "ce + cpg"),
        Row("lmp", "lmp"),
        Row("abl", "ce + lovasz + abl"),
        Row("focal", "focal"),
        Row("ce-weighted", "ce(class_weights={class_weights})"),
        Row("lovasz", "ce + lovasz"),
        Row("hardness-maps", "hardness", maps_of="hardness-light"),
        Row("recall-hardness", "recall + hardness", branches="light"),
        Row("pat", "pat"),
        Row("ce-lmp", "ce + lmp"),
        Row("ssl", "0.5*ce + 0.5*ssl"),
        Row("asl", "asl"),
        Row("asl-bf1", "ce + asl(metric=bf1)"),
        Row("semeda", "ce + 0.1*semeda(network='{edges}')"),
        Row("scribbles", "ce", labels="scribbles"),
        Row("dfr", "ce + 0.01*dfr", labels="scribbles", baseline="scribbles"),
        Row("recall-2", "recall", processes=2),
        Row("recall-2-sync", "recall(sync=true)", processes=2, baseline="recall-2"),
        Row("hardness-2", "hardness", branches="light", processes=2),
        Row("hardness-2-sync", "hardness(sync=true)", branches="light", processes=2, baseline="hardness-2"),
    )
}
