"""`sidecar doctor`: what keeps a sidecar from doing its work here, why it matters, and the cure of each.

It reads and connects, and changes nothing: no file is written, no port is listened on, and the only request it ever
sends is `OPTIONS *` (RFC 9110 §9.3.7), which is about a server and none of its resources, for the Date of the answer.
"""
