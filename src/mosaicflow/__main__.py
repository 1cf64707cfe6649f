"""``python -m mosaicflow``: the same as ``mosaicflow``."""

from mosaicflow.cli.main import main

if __name__ == "__main__":
    main()
