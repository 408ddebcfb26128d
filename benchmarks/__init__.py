"""Speeds and sizes as ratios within one run, beside the peers. `make bench` prints the table."""
