"""What the Compose stack needs besides images: a demo receiver, settings of the observers."""
