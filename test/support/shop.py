"""A small application, a shop, written for several drivers: what it observes must not depend on what is in between.

Every function runs the steps it is given, as draw() makes them, and returns a list of what the application saw.
"""

import json
import random
from pathlib import Path

import psycopg
import sqlalchemy
from sqlalchemy import Column, ForeignKey, Integer, String, func, select
from sqlalchemy.orm import Session, declarative_base, relationship

from . import node

SCHEMA = """
CREATE TABLE customers (id serial PRIMARY KEY, name varchar UNIQUE NOT NULL, credit int NOT NULL CHECK (credit >= 0));
CREATE TABLE orders (id serial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, amount int NOT NULL);
CREATE VIEW spending AS
    SELECT c.name, coalesce(sum(o.amount), 0)::int AS spent FROM customers c LEFT JOIN orders o ON o.customer_id = c.id
    GROUP BY c.name;
INSERT INTO customers (name, credit) SELECT 'customer ' || n, 1000 FROM generate_series(1, 10) n;
"""


def draw(count: int) -> list[tuple]:
    """So many steps of the application: (kind, customer, amount). Always the same ones; half of them only read."""
    generator = random.Random(20)
    kinds = ["buy", "buy", "overdraw", "report", "look", "look", "undo", "rename"]
    return [(generator.choice(kinds), generator.randint(1, 10), generator.randint(1, 60)) for _ in range(count)]


Base = declarative_base()


class Customer(Base):
    __tablename__ = "customers"
    id = Column(Integer, primary_key=True)
    name = Column(String)
    credit = Column(Integer)
    orders = relationship("Order", back_populates="customer", order_by="Order.id")


class Order(Base):
    __tablename__ = "orders"
    id = Column(Integer, primary_key=True)
    customer_id = Column(ForeignKey("customers.id"))
    amount = Column(Integer)
    customer = relationship("Customer", back_populates="orders")


def with_sqlalchemy(target, dbname: str, steps: list) -> list:
    url = sqlalchemy.engine.URL.create("postgresql+psycopg2", "app", None, target.host, target.port, dbname)
    engine = sqlalchemy.create_engine(url, pool_size=3)
    seen = []
    for kind, number, amount in steps:
        with Session(engine) as session:
            try:
                seen.append(_orm_step(session, kind, number, amount))
            except sqlalchemy.exc.IntegrityError as error:
                seen.append(error.orig.pgcode)
    engine.dispose()
    return seen


def _orm_step(session: Session, kind: str, number: int, amount: int):
    if kind == "report":
        totals = select(Customer.name, func.count(Order.id)).outerjoin(Order).group_by(Customer.name)
        return session.execute(totals.order_by(Customer.name)).all()
    customer = session.get(Customer, number)
    if kind == "look":
        return customer.name, customer.credit, [(order.id, order.amount) for order in customer.orders]
    if kind == "rename":
        customer.name = f"customer {number}, {amount}"
        session.commit()
        return customer.name  # read again: commit() expires it
    if kind == "overdraw":
        customer.credit -= 100000
        session.commit()
        raise AssertionError("a negative credit was taken")
    customer.credit -= amount
    customer.orders.append(Order(amount=amount))
    session.flush()
    inside = session.scalar(select(func.sum(Order.amount)).where(Order.customer_id == number))
    if kind == "undo":
        session.rollback()
    else:
        session.commit()
    return inside, session.scalar(select(func.count(Order.id))), session.get(Customer, number).credit


def with_psycopg(target, dbname: str, steps: list) -> list:
    seen = []
    with target.connect(dbname=dbname, user="app", autocommit=True) as connection:
        connection.prepare_threshold = 2
        for kind, number, amount in steps:
            try:
                seen.append(_psycopg_step(connection, kind, number, amount))
            except psycopg.errors.IntegrityError as error:
                seen.append(error.sqlstate)
    return seen


def _psycopg_step(connection: psycopg.Connection, kind: str, number: int, amount: int):
    run = connection.execute
    if kind == "report":
        with connection.transaction():
            return run("SELECT name, spent FROM spending ORDER BY name").fetchall()
    if kind == "look":
        with connection.pipeline():
            cursors = [
                run("SELECT name, credit FROM customers WHERE id = %s", [number]),
                run("SELECT id, amount FROM orders WHERE customer_id = %s ORDER BY id", [number]),
            ]
        return [cursor.fetchall() for cursor in cursors]
    if kind == "rename":
        name = f"customer {number}, {amount}"
        return run("UPDATE customers SET name = %s WHERE id = %s RETURNING name", [name, number]).fetchall()
    with connection.transaction():
        before = run("SELECT credit FROM customers WHERE id = %s", [number]).fetchone()
        try:
            with connection.transaction():  # a savepoint
                spent = 100000 if kind == "overdraw" else amount
                run("UPDATE customers SET credit = credit - %s WHERE id = %s", [spent, number])
                run("INSERT INTO orders (customer_id, amount) VALUES (%s, %s)", [number, amount])
                if kind == "undo":
                    raise psycopg.Rollback
        except psycopg.errors.CheckViolation:
            pass
        inside = run("SELECT credit FROM customers WHERE id = %s", [number]).fetchone()
    after = run("SELECT credit, (SELECT count(*) FROM orders) FROM customers WHERE id = %s", [number]).fetchone()
    return before, inside, after


def with_node_postgres(target, dbname: str, steps: list) -> list:
    script = Path(__file__).parents[1] / "system" / "node" / "shop.js"
    return node.run(script, target, dbname, json.dumps(steps)).splitlines()
