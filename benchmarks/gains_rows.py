"""The rows of benchmarks/gains.py: what is trained, beside which other row it stands, and the protocol's order."""

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
        Row("ce-dice", "ce + dice"),
        Row("hardness-official", "hardness(official=true)", branches="light"),
        Row("hardness-alpha-0.001", "hardness(alpha=0.001)", branches="light"),
        Row("hardness-alpha-0.1", "hardness(alpha=0.1)", branches="light"),
        Row("hardness-floor-0.5", "hardness(floor=0.5)", branches="light"),
        Row("hardness-2", "hardness", branches="light", processes=2),
        Row("hardness-2-sync", "hardness(sync=true)", branches="light", processes=2, baseline="hardness-2"),
    )
}

# docs/results.md's protocol: the primary question, the six that are tested beside it, and what is asked without a test
PRIMARY = "hardness-light"
TESTED = ("recall", "cpg", "hardness-faithful", "pat", "lmp", "abl")
FURTHER = (
    *("recall-hardness", "ce-dice", "hardness-official", "lovasz", "focal", "ohem", "ce-weighted", "ce-lmp", "asl"),
    *("asl-bf1", "ssl", "hardness-maps", "hardness-floor-0.5", "hardness-alpha-0.1", "hardness-alpha-0.001"),
    *("semeda", "scribbles", "dfr"),
)
PILOT = 3  # seeds of cross-entropy alone, before anything is compared


def wanted_seeds(row: str) -> int:
    """How many seeds the protocol wants of a row."""
    return 10 if row in ("ce", PRIMARY) else 5 if row in TESTED else 3


def in_order() -> list[tuple[str, int]]:
    """All trainings of the protocol, row and seed, the first to be run first."""
    found = [("ce", seed) for seed in range(PILOT)]
    found += [(row, seed) for seed in range(wanted_seeds(PRIMARY)) for row in ("ce", PRIMARY)]
    found += [(row, seed) for seed in range(wanted_seeds(TESTED[0])) for row in TESTED]
    found += [(row, seed) for seed in range(wanted_seeds(FURTHER[0])) for row in FURTHER]
    return list(dict.fromkeys(found))
