"""The documents of the sidecar in front of the payment service, as a service team would write them."""

from pathlib import Path
from typing import Final

from sidecar.demo.charges.service import BY_KEY, PAYMENTS

ROUTE: Final = "create-payment"
SIDECAR: Final = """\
service: payments
admin: {{listen: "127.0.0.1:{admin}"}}
policy: {{file: policy.yaml}}
egress:
  listen: ["127.0.0.1:{egress}"]
ingress:
  listen: "127.0.0.1:{port}"
  app: "http://127.0.0.1:{service}"
  idempotency:
    store: {{sqlite: keys.db}}
  routes:
    - name: {route}
      match: {{methods: [POST], path: "{payments}"}}
      class: at_most_once
      probe: {{path: "{by_key}{{key}}", applied: [200], after: 200ms}}
"""
POLICY: Final = "version: 1\nowner: demo\n"
"""All numbers are the built-in ones."""


def write_gate(folder: Path, *, admin: int, egress: int, port: int, service: int) -> Path:
    """Write both documents into `folder` and return the path of the first."""
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    document = folder / "sidecar.yaml"
    text = SIDECAR.format(
        admin=admin, egress=egress, port=port, service=service, route=ROUTE, payments=PAYMENTS, by_key=BY_KEY
    )
    document.write_text(text, encoding="utf-8")
    return document
