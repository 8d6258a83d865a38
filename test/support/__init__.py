"""What the system tests are written with: real PostgreSQL servers, pgbalancer under test, raw protocol clients.

Everything here runs in the test's own process. Servers and pgbalancer are children of it that the kernel ends
when it dies (processes.py); their files lie in temporary directories which the next session removes when their
owner is gone (tempdirs.py). Several sessions may run on one machine at once.
"""
