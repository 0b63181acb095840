"""All tests. Matrices here are small: BLAS threads that wait for each other cost more than they save."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
