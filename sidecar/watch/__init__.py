"""Looking at a running sidecar from outside: its live page's JSON, in a terminal or told as an incident."""
