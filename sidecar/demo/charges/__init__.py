"""`sidecar demo --charges`: a payment service whose answers get lost, and two clients that try again.

Two copies of one service charge the same orders. One stands behind the ingress gate of a real sidecar and its client
sends a key; the other is called directly. The charges are counted by the services; nothing here decides the outcome.
"""
