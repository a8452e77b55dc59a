"""Rules of the kernel that redirect a service's outgoing connections to the sidecar, for `sidecar intercept`.

An init container runs it once and ends; what listens for the connections is `proxy`. It stands beside `proxy` and
imports nothing of the sidecar, so that it starts fast.
"""
