"""Decides whether bytes may be believed: detached Ed25519 signatures of documents, and the certificates of TLS."""
