"""The five services of Hooklane, each one verb. They share code only through ``shared``.

producer ─Kafka──▶ [events] ─▶ fanout ─▶ [deliveries] ─▶ delivery ─HTTP─▶ receiver
client ─▶ gateway ────▲           ▲            ▲  ▲         │
             │                    │            │  │         ├─▶ [attempts] ─▶ recorder ─▶ MongoDB
             ▼                    │            │  │         └─▶ [retry.5s] … [retry.24h] ─▶ retry
          MongoDB ─▶ [endpoints] ─┴────────────┘  └─────────────────────────────────────────┘

service   reads                        writes                          guarantee
───────   ─────                        ──────                          ─────────
gateway   MongoDB, deliveries (by      MongoDB, events, endpoints,     a 2xx comes after Kafka's
          coordinates)                 deliveries (pings)              acknowledgement
fanout    events, endpoints            deliveries, events.rejected     committed when all that
                                                                       follows is acknowledged
delivery  deliveries, endpoints,       attempts, retry.*,              every attempt is on record,
          attempts (its journal)       deliveries.dead                 after what follows from it
retry     retry.*                      deliveries                      moves what is due, commits
                                                                       what has moved
recorder  attempts                     MongoDB, endpoints              every attempt is in the log,
                                       (auto-disable)                  once
"""
