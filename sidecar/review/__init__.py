"""The review gate: is every operation that moves money proven safe to repeat? Judged from its description alone.

It reads OpenAPI 3.0, 3.1 and 3.2, Swagger 2.0 and AsyncAPI 3. Nothing in here is imported by `sidecar run`.
"""
