"""How Hooklane is run: locally (`deploy.local`), in containers and on Kubernetes."""
