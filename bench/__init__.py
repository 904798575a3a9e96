"""Measures logintel beside scikit-learn: `tools/bench.sh` makes the server and the environment and calls it."""
