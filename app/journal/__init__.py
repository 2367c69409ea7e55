"""The journal: what the gateway published, on disk, for people who come back.

`Journal` follows the bus like a consumer that never loses an event. `Writer` stores batches in one
SQLite file from one thread; `Reader` answers questions about the past from other threads.
"""
