"""A fleet on virtual time: many pods, each with the engine that its sidecar runs, in front of services that can fail.

The engine is the proxy's own (`sidecar.engine`): what is simulated is everything around it.
"""
