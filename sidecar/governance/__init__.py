"""Judges what people write and compiles it to what engines run on: two documents in, one immutable snapshot out.

Five rooms, each built on those before it: `documents`, `trust`, `policy`, and then `loading` and `review`, which do not
know each other.
"""
