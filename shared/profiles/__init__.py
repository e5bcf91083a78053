"""Profiles: what a product's webhooks look like, as data. See ``shared.profiles.profile``."""
