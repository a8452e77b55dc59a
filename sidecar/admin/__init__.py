"""The control plane's HTTP: health, metrics, state. aiohttp is imported here only, after the data plane is up."""
