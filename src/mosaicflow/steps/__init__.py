"""The steps of the stage from slice to slice: shifts_xy.csv."""
