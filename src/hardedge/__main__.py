"""`python -m hardedge`, as torchrun starts it."""

from hardedge.cli import main

if __name__ == "__main__":
    main()
