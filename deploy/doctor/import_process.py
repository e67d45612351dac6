"""Imports a module and prints its version, and the providers of an onnxruntime, as JSON: in a process of its own."""

import importlib
import json
import sys


def main() -> None:
    """Imports the module that the first argument names."""
    module = importlib.import_module(sys.argv[1])
    providers: list[str] = getattr(module, "get_available_providers", list)()
    print(json.dumps({"version": str(getattr(module, "__version__", "")), "providers": providers}))


if __name__ == "__main__":
    main()
