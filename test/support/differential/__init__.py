"""A differential fuzz: random conversations of several sessions, held with PostgreSQL directly and with pgbalancer before a
primary and two standbys that lag; every reply must be the same.

steps       what a conversation is made of, and how it is written down
schema      the tables and functions it is about
statements  the SQL: families of templates
generator   seed → conversation
runner      holds one with a server
differences what of the replies is compared
standbys    makes standbys lag, stop and catch up
shrinking   the smallest conversation that still differs
fuzzing     all of it together
"""
