"""Kafka adapters over aiokafka: publishing, consuming, the endpoint registry, administration."""
