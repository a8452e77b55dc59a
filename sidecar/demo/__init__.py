"""The main job on one machine with nothing else installed: a dependency that blips, with and without the sidecar.

Two copies of one dependency run the same script in processes of their own. One is called through a real sidecar, the
other by a client that retries the way people write it. Whatever is shown was counted at the dependencies and at the
callers; nothing here decides the outcome.
"""
