"""Storage adapters: one package for each database. Only a service's ``wiring`` imports them."""
