"""The plain baseline: a line is as strange as its share of words that training never saw.

Where history is too little for the rate that is asked for, any such word is enough, as any such template is for logintel.
"""

import re
from collections import Counter

import numpy as np

WORD = re.compile(r"\w\w+")
FOLDS = 10


class OutOfVocabulary:
    """Learns words; its threshold is the quantile of held-back lines that leaves the share asked for."""

    def __init__(self, messages: list[str], false_alarm_rate: float) -> None:
        words = [_words(message) for message in messages]
        self.known = Counter(word for line in words for word in line)
        rng = np.random.default_rng(0)
        fold = rng.integers(FOLDS, size=len(words))
        held = []
        for number in range(FOLDS):
            own = Counter(
                word
                for line, at in zip(words, fold, strict=True)
                if at == number
                for word in line
            )
            held += [
                _share(line, lambda word, own=own: self.known[word] > own[word])
                for line, at in zip(words, fold, strict=True)
                if at == number
            ]
        rank = int(np.ceil((1 - false_alarm_rate) * (len(held) + 1)))
        self.threshold = sorted(held)[rank - 1] if rank <= len(held) else 0.0

    def scores(self, messages: list[str]) -> np.ndarray:
        """Shares of words never seen."""
        return np.array(
            [_share(_words(message), self.known.__contains__) for message in messages]
        )

    def flagged(self, messages: list[str]) -> np.ndarray:
        """Whether lines are stranger than the threshold."""
        return self.scores(messages) > self.threshold


def _words(message: str) -> list[str]:
    # Words that are all digits are variables to anybody.
    return [word for word in WORD.findall(message.lower()) if not word.isdigit()]


def _share(words: list[str], known) -> float:
    return sum(not known(word) for word in words) / len(words) if words else 0.0
