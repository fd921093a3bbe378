"""Cases, data and peers of benches/online.py."""
