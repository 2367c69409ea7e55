"""The journal: the published events on disk, for history and search.

`Journal` follows the bus. `Writer` stores batches in one SQLite file from one thread; `Reader`
answers questions about the past from other threads.
"""
