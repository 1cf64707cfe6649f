"""Session files: an index in JSON, a pickled state, further sections beside it."""
