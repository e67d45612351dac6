"""The losses: one file a method, summed with weights, read from and written as text."""

from hardedge.train.losses.abl import Abl
from hardedge.train.losses.asl import Asl
from hardedge.train.losses.boundary import boundary_distance
from hardedge.train.losses.boundary_loss import Boundary, BoundaryOhem
from hardedge.train.losses.cpg import Cpg
from hardedge.train.losses.cross_entropy import CrossEntropy
from hardedge.train.losses.detail import Detail
from hardedge.train.losses.dfr import Dfr
from hardedge.train.losses.dice import Dice
from hardedge.train.losses.focal import Focal
from hardedge.train.losses.hardness import Hardness
from hardedge.train.losses.lmp import Lmp
from hardedge.train.losses.loss import Loss, LossSum, Term
from hardedge.train.losses.lovasz import Lovasz
from hardedge.train.losses.ohem import Ohem
from hardedge.train.losses.parse import LOSSES, parse_loss
from hardedge.train.losses.pat import Pat
from hardedge.train.losses.recall import Recall
from hardedge.train.losses.semeda import Semeda
from hardedge.train.losses.ssl import Ssl
from hardedge.train.losses.tversky import Tversky

__all__ = [
    "LOSSES",
    "Abl",
    "Asl",
    "Boundary",
    "BoundaryOhem",
    "Cpg",
    "CrossEntropy",
    "Detail",
    "Dfr",
    "Dice",
    "Focal",
    "Hardness",
    "Lmp",
    "Loss",
    "LossSum",
    "Lovasz",
    "Ohem",
    "Pat",
    "Recall",
    "Semeda",
    "Ssl",
    "Term",
    "Tversky",
    "boundary_distance",
    "parse_loss",
]
