"""Beside the manifests: what makes some of them, and the tools that prove them."""
