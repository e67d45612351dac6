if __name__ != "hardedge.export":
    raise ImportError("import hardedge.export, not export: this folder is the package hardedge.export")
