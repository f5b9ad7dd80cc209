"""Writes tests/testing/golden/arrays.npz and arrays_deflated.npz with numpy: the arrays that tests/data/npy_test.cc expects.

python scripts/golden/make_npy.py      (pip install numpy)
"""
import pathlib

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/testing/golden"
ROWS = 5
row = np.arange(ROWS)
arrays = {
    "image": (row[:, None, None] * 6 + np.arange(6).reshape(2, 3)).astype(np.uint8),
    "label": (row * 1000 - 2000).astype(np.int16),
    "big": row.astype(np.uint64) + 2**62,
    "flag": row % 2 == 0,
    "half": (row / 4 - 0.5).astype(np.float16),
    "single": (row[:, None] + np.array([0.25, -0.5])).astype(np.float32),
    "double": row / 3,
    "word": np.array(["a", "bc", "", "def", "g"], dtype="S3"),
}
np.savez(FOLDER / "arrays.npz", **arrays)
np.savez_compressed(FOLDER / "arrays_deflated.npz", **arrays)
