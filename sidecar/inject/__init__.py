"""The sidecar in Kubernetes pods: manifests in, manifests with a sidecar out; and the same as an admission webhook."""
