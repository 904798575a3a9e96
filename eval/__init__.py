"""How well logintel detects, on labelled logs, beside published figures: `make eval`."""
