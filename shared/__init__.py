"""What Hooklane's services share, in layers; each may import only what stands below it.

    runtime                              signals, drain, exit codes
    kafka · storage · http · observe     adapters, independent of one another
    config                               the only reader of the environment
    topics · profiles · request          tables and pure assembly
    rendering · signing · policy         pure decisions
    models                               records and errors

The contracts in ``pyproject.toml`` (import-linter) hold this picture true.
"""
