if __name__ != "hardedge.train":
    raise ImportError("import hardedge.train, not train: this folder is the package hardedge.train")
