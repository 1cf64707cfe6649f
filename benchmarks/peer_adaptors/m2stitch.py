"""Place the tiles of a job with m2stitch; JOB.json in, RESULT.json out."""

import json
import sys
import time
from pathlib import Path

sys.path.pop(0)  # this file's folder would hide the package of the same name

import m2stitch
import numpy as np
import tifffile

job = json.loads(Path(sys.argv[1]).read_text())
images = np.stack([tifffile.imread(tile) for tile in job["tiles"]])
rows, columns = np.array(job["index"]).T
start = time.process_time()
grid, _ = m2stitch.stitch_images(
    images, rows=rows, cols=columns, row_col_transpose=False, ncc_threshold=0.1
)
seconds = time.process_time() - start
result = {"positions_px": grid[["y_pos", "x_pos"]].values.tolist(), "seconds": seconds}
Path(sys.argv[2]).write_text(json.dumps(result))
