"""What all tests share."""

from mosaicflow.engine import workers

# The runs of a session fork their workers from one server. What a worker would import again in each
# run is imported there once: this program (pytest), and the plots of a run's page.
workers._PRELOADED.extend(["__main__", "matplotlib.figure"])
