"""Benchmarks over real sockets: `make bench`."""
