"""Retry configuration of other proxies and libraries, read into a policy and a sidecar file.

It stands above `governance`, whose settings and guardrails it writes for, beside `review`, and below `cli`: only
people and CI ask for it, and `sidecar run` does not import it. Text in, values and notes out; files are the command's
business.
"""
