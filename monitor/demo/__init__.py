"""The demo: generated customers and a stand-in model, through the real proxy, bus, Triton and monitor.

Law of this package: everything in it is written for the demo and labelled as such; nothing outside imports it but
its command. What is shown is never made up: tiers, headers and counts come from the running processes.
"""
