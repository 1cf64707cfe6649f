"""The embedded engine: the same stages as the Nextflow workflow, on one machine."""
