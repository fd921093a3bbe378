"""The same training set by others and by us: data, engines, and the cases that peers.py measures."""
