"""The formats that can be imported, one file each; docs/import.md has three lines on each."""

from hardedge.data.importing.formats.binary import BINARY
from hardedge.data.importing.formats.coco import COCO
from hardedge.data.importing.formats.coco_panoptic import COCO_PANOPTIC
from hardedge.data.importing.formats.colors import COLORS
from hardedge.data.importing.formats.cvat import CVAT
from hardedge.data.importing.formats.cvat_masks import CVAT_MASKS
from hardedge.data.importing.formats.format import Format
from hardedge.data.importing.formats.huggingface import HUGGINGFACE
from hardedge.data.importing.formats.indices import INDICES
from hardedge.data.importing.formats.label_studio import LABEL_STUDIO
from hardedge.data.importing.formats.labelme import LABELME
from hardedge.data.importing.formats.mmseg import MMSEG
from hardedge.data.importing.formats.paddleseg import PADDLESEG
from hardedge.data.importing.formats.roboflow import ROBOFLOW
from hardedge.data.importing.formats.supervisely import SUPERVISELY
from hardedge.data.importing.formats.ultralytics import ULTRALYTICS

__all__ = ["FORMATS", "Format"]

# in the order in which a folder is looked at: the surest signs first, folders of masks last
FORMATS: tuple[Format, ...] = (
    COCO_PANOPTIC,
    COCO,
    LABELME,
    CVAT,
    LABEL_STUDIO,
    SUPERVISELY,
    ROBOFLOW,
    ULTRALYTICS,
    PADDLESEG,
    MMSEG,
    CVAT_MASKS,
    HUGGINGFACE,
    BINARY,
    COLORS,
    INDICES,
)
