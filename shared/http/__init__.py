"""The HTTP sender: POSTs webhooks to hosts that strangers chose, on asyncio and httptools.

    transport     Transport: start(request, done), send, close, stats         ← callers begin here
    messages      what goes in (OutgoingRequest, render_headers) and what comes out (Outcome)
    limits        every bound, with its reason
    exchange      one attempt between its start and its outcome
    connection    HTTP/1.1 on one connection: a request out, one answer in
    answer        reads the answer off the bytes
    idle          which open connections may be used again
    names         vetted addresses of a name, cached, one look-up per name; the Resolver port
    ares          the Resolver over c-ares
    dial          connects to the vetted address itself
    fetching      one small document from an operator's own server; apart from all the others
    httpx_face    Transport as an httpx transport, for tests and tools

Guarantees: one outcome for each start, within its deadline; a receiver's failure is a value and
never an exception; only vetted addresses are dialled; no redirect, cookie or proxy is followed.
``messages`` is pure and may be imported by handlers, the rest by wiring only.
"""
