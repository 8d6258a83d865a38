"""PostgreSQL's own test suites through pgbalancer."""
