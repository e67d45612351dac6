if __name__ != "hardedge.deploy":
    raise ImportError("import hardedge.deploy, not deploy: this folder is the package hardedge.deploy")

from hardedge.deploy.segmenter import Segmenter

__all__ = ["Segmenter"]
