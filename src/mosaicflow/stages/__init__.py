"""The stages: paths and settings in, a finished store and its metrics out."""
