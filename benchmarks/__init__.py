"""The gateway measured beside its peers, over real sockets: `make bench`.

Reading order: `events` is what everyone publishes, `orders` and `peers/` are the servers, `server`
and `reader` the other end of the sockets, `scenarios` what is measured, `runner` how, and `report`
writes `docs/performance.md`.
"""
