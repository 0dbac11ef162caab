"""From photos to a linear classifier on a pretrained network: what `transfer` compares `edgekit train` with.

    python bare_transfer.py FOLDER

One process: decoding with Pillow, the features of every photo once, a logistic regression with cross-validated C. It
checks nothing, holds nothing out and saves nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from edgekit.train import backbones

SIDE, BATCH = 224, 32


def fit(folder: Path) -> None:
    """Fit a classifier to a folder with a subfolder for each class."""
    network = backbones.build("efficientnet-lite0", SIDE, "imagenet")
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    found = []
    for start in range(0, len(paths), BATCH):
        part = paths[start : start + BATCH]
        photos = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE)), np.float32) for path in part]
        found.append(network.predict_on_batch(np.stack(photos)))
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": np.logspace(-4, 4, 10)}, cv=5)
    search.fit(np.concatenate(found), [path.parent.name for path in paths])


if __name__ == "__main__":
    fit(Path(sys.argv[1]))
