"""Traffic for trying things out: send recorded exchanges through a proxy, and stand in for the model behind it.

Law of this package: it is a client of the proxy and a server for it, over HTTP like any other, and knows nothing of
either package's inside but the contract and files of exchanges. Nothing here runs in production.
"""
