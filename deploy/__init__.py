if __name__ != "hardedge.deploy":
    raise ImportError("import hardedge.deploy, not deploy: this folder is the package hardedge.deploy")
