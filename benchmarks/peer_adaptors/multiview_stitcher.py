"""Place the tiles of a job with multiview-stitcher; JOB.json in, RESULT.json out."""

import json
import sys
import time
from pathlib import Path

sys.path.pop(0)  # this file's folder would hide the package of the same name

import numpy as np
import tifffile
from multiview_stitcher import msi_utils, registration
from multiview_stitcher import spatial_image_utils as si_utils

job = json.loads(Path(sys.argv[1]).read_text())
stage = np.array(job["stage_px"], float)
views = [
    msi_utils.get_msim_from_sim(
        si_utils.get_sim_from_array(
            tifffile.imread(tile),
            dims=["y", "x"],
            scale={"y": 1.0, "x": 1.0},
            translation={"y": float(y), "x": float(x)},
            transform_key="stage",
        ),
        scale_factors=[],
    )
    for tile, (y, x) in zip(job["tiles"], stage, strict=True)
]
start = time.process_time()
found = registration.register(
    views, transform_key="stage", new_transform_key="placed", reg_channel_index=0
)
seconds = time.process_time() - start
moved = np.array([np.asarray(one).reshape(-1, 3, 3)[0, :2, 2] for one in found])
result = {"positions_px": (stage + moved).tolist(), "seconds": seconds}
Path(sys.argv[2]).write_text(json.dumps(result))
