"""How Hooklane is watched: dashboards for Grafana, alerts for Prometheus."""
