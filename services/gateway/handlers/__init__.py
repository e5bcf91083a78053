"""What the API does: plain asynchronous functions over ``services.gateway.ports``.

They know nothing of HTTP and raise the errors of ``shared.models.errors``.
"""
