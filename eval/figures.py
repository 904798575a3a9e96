"""Figures of detection and of grouping."""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score


@dataclass(frozen=True)
class Detection:
    """How well rows were told apart."""

    f1: float
    precision: float
    recall: float
    auc: float

    @staticmethod
    def of(truth: np.ndarray, flagged: np.ndarray, scores: np.ndarray) -> "Detection":
        """Of the labels, what was flagged and the scores behind it."""
        return Detection(
            f1=float(f1_score(truth, flagged, zero_division=0)),
            precision=float(precision_score(truth, flagged, zero_division=0)),
            recall=float(recall_score(truth, flagged, zero_division=0)),
            auc=float(roc_auc_score(truth, scores)),
        )


def mean_and_spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return float(np.mean(values)), float(np.std(values))


def f1_of(found: list[Detection]) -> str:
    """F1 for a table, the mean of several, with what it is made of."""
    f1, spread = mean_and_spread([one.f1 for one in found])
    precision = np.mean([one.precision for one in found])
    recall = np.mean([one.recall for one in found])
    auc = np.mean([one.auc for one in found])
    spread = f" ± {spread:.3f}" if len(found) > 1 else ""
    return f"F1 **{f1:.3f}**{spread} (precision {precision:.3f}, recall {recall:.3f}, AUC {auc:.3f})"


def grouping(templates: list[str], events: list[str]) -> tuple[float, float]:
    """Grouping accuracy (Zhu et al., ICSE-SEIP 2019) and F1 of grouping accuracy (Jiang et al., ISSTA 2024).

    A group is right if it holds exactly the lines of one event: the first is the share of lines in such groups, the second
    compares the number of such groups with the number of groups found and of events.
    """
    of_template, of_event = defaultdict(Counter), Counter(events)
    for template, event in zip(templates, events, strict=True):
        of_template[template][event] += 1
    right = [
        (event, lines)
        for found in of_template.values()
        if len(found) == 1
        for event, lines in found.items()
        if lines == of_event[event]
    ]
    accuracy = sum(lines for _, lines in right) / len(events)
    f1 = 2 * len(right) / (len(of_template) + len(of_event))
    return accuracy, f1
