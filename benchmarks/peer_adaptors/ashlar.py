"""Place the tiles of a job with ashlar; JOB.json in, RESULT.json out."""

import json
import sys
import time
from pathlib import Path

sys.path.pop(0)  # this file's folder would hide the package of the same name

import numpy as np
import tifffile
from ashlar import reg


class JobMetadata(reg.Metadata):
    def __init__(self, job):
        self._job = job
        self._shape = np.array(job["tile_yx"])
        self._positions = np.array(job["stage_px"], float)

    @property
    def _num_images(self):
        return len(self._job["tiles"])

    @property
    def num_channels(self):
        return 1

    @property
    def pixel_size(self):
        return 1.0

    @property
    def pixel_dtype(self):
        return np.dtype(np.float32)

    def tile_size(self, i):
        return self._shape

    def tile_position(self, i):
        return self._positions[i]


class JobReader(reg.Reader):
    def __init__(self, job):
        self._job = job
        self.metadata = JobMetadata(job)

    def read(self, series, c):
        return tifffile.imread(self._job["tiles"][series]).astype(np.float32)


job = json.loads(Path(sys.argv[1]).read_text())
start = time.process_time()
aligner = reg.EdgeAligner(JobReader(job), max_shift=job["search_px"], do_make_thumbnail=False)
aligner.run()
result = {"positions_px": aligner.positions.tolist(), "seconds": time.process_time() - start}
Path(sys.argv[2]).write_text(json.dumps(result))
