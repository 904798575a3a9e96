"""The live path of the prototype that logintel grew from, as it was: each line vectorised by scikit-learn and compared with
one centroid, and all lines so far read from a Parquet file and written back with it. What its web framework takes on top
is left out."""

import csv
from pathlib import Path

import numpy as np
import pandas
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_distances

from eval.logs import Line, folder

LIMIT = 0.35


class SeedService:
    """Holds what the service loads when it starts, and the file that it keeps lines in."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with open(folder() / "seed" / "logs_with_clusters.csv", newline="") as rows:
            history = list(csv.DictReader(rows))
        self.vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), min_df=5, max_df=0.9, max_features=5000
        )
        vectors = self.vectorizer.fit_transform([row["message"] for row in history])
        ordinary = np.array([row["cluster_id"] != "-1" for row in history])
        self.centroid = np.asarray(vectors[ordinary].mean(axis=0)).reshape(1, -1)

    def judge(self, line: Line) -> tuple[bool, str]:
        """Whether a line is flagged, and why."""
        if (line.level or "").upper() == "ERROR":
            return True, "ERROR_level"
        vector = self.vectorizer.transform([line.message])
        distance = cosine_distances(vector, self.centroid)[0][0]
        kind = "semantic" if distance > LIMIT else "normal"
        return distance > LIMIT, f"{kind}_distance={distance:.3f}"

    def ingest(self, line: Line) -> None:
        """Judges a line and keeps it."""
        is_anomaly, reason = self.judge(line)
        row = {
            "timestamp": line.ts,
            "source": line.source,
            "level": line.level,
            "component": line.component,
            "message": line.message,
            "template": line.message,
            "is_anomaly": is_anomaly,
            "anomaly_reason": reason,
        }
        rows = pandas.DataFrame([row])
        if self.file.exists():
            rows = pandas.concat([pandas.read_parquet(self.file), rows], ignore_index=True)
        rows.to_parquet(self.file, index=False)
