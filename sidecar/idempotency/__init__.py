"""At most once: the Idempotency-Key contract that a service's ingress keeps for it.

key, fingerprint   what a request is called, and what it asks for
record, ledger     one key's life, as pure transitions
register, stores/  the transitions made durable, each only if the record is unchanged
gate               an ingress request in front of the service
"""
