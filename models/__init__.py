if __name__ != "hardedge.models":
    raise ImportError("import hardedge.models, not models: this folder is the package hardedge.models")
