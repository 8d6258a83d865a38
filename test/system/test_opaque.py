"""Statements whose text hides what they do to the session: every way in which one reaches a function that does it.

The catalog query is tested by itself, as an ordinary user whose search_path lies; then each way through pgbalancer, which has to
find out what happened and pin the session.
"""

import re

import pytest

from support.paths import ROOT
from support.raw_client import connected
from support.waiting import await_condition

# hear() leaves a channel behind; the other functions are what can stand between it and a statement.
FUNCTIONS = """
CREATE FUNCTION hear() RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN heard'; RETURN 1; END $$;
CREATE FUNCTION hear(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN heard'; RETURN $1; END $$;
CREATE FUNCTION hear2(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN heard'; RETURN $1; END $$;
CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE 'LISTEN heard'; RETURN COALESCE(NEW, OLD); END $$;
CREATE TABLE plain (a int);
INSERT INTO plain VALUES (1);
"""

# way → (what is made, statement, kind and name of the row that gives it away)
WAYS = {
    "function": ("", "SELECT hear()", ("function:o", "hear")),
    "inside a cursor": ("", "BEGIN; DECLARE c CURSOR FOR SELECT hear(); FETCH c; COMMIT", ("function:o", "hear")),
    "overload of a builtin": (
        "CREATE FUNCTION lower(int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN hear(); END $$",
        "SELECT lower(1)", ("function:o", "lower")),
    "aggregate": (
        "CREATE AGGREGATE listening(int) (SFUNC = hear2, STYPE = int, INITCOND = '0')",
        "SELECT listening(a) FROM plain", ("function:o", "listening")),
    "operator": (
        "CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = hear2)", "SELECT 1 ### 2", ("operator:o", "###")),
    "overload of a builtin operator": (
        """CREATE TYPE pair AS (a int, b int);
           CREATE FUNCTION add(pair, pair) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN hear(); END $$;
           CREATE OPERATOR + (LEFTARG = pair, RIGHTARG = pair, FUNCTION = add)""",
        "SELECT '(1,2)'::pair + '(3,4)'::pair", ("anything:", "")),
    "cast": (
        """CREATE TYPE pair AS (a int, b int);
           CREATE FUNCTION to_int(pair) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN hear(); END $$;
           CREATE CAST (pair AS int) WITH FUNCTION to_int(pair) AS IMPLICIT;
           CREATE TABLE pairs (p pair); INSERT INTO pairs VALUES ('(1,2)')""",
        "SELECT * FROM pairs WHERE p = 1", ("anything:", "")),
    "domain": (
        "CREATE DOMAIN positive AS int CHECK (hear(VALUE) > 0)", "SELECT 1::positive", ("type:o", "positive")),
    "column of a domain": (
        "CREATE DOMAIN positive AS int CHECK (hear(VALUE) > 0); CREATE TABLE t (a positive)",
        "INSERT INTO t VALUES (1)", ("relation:w", "t")),
    "attribute": (
        "CREATE FUNCTION heard(plain) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN hear(); END $$",
        "SELECT plain.heard FROM plain", ("attribute:o", "heard")),
    "view": ("CREATE VIEW v AS SELECT hear()", "SELECT * FROM v", ("relation:r", "v")),
    "view of a view": (
        "CREATE VIEW v AS SELECT hear(); CREATE VIEW w AS SELECT * FROM v", "TABLE w", ("relation:r", "w")),
    "trigger": (
        "CREATE TABLE t (a int); CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION on_row()",
        "INSERT INTO t VALUES (1)", ("relation:w", "t")),
    "trigger by COPY": (
        """CREATE TABLE t (a int);
           CREATE TRIGGER x BEFORE TRUNCATE ON t EXECUTE FUNCTION on_row()""",
        "TRUNCATE t", ("relation:w", "t")),
    "trigger below a view": (
        """CREATE TABLE t (a int); CREATE VIEW v AS SELECT * FROM t;
           CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION on_row()""",
        "INSERT INTO v VALUES (1)", ("relation:w", "v")),
    "trigger of a partition": (
        """CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
           CREATE TRIGGER x AFTER INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION on_row()""",
        "INSERT INTO p VALUES (1)", ("relation:w", "p")),
    "trigger of a cascade": (
        """CREATE TABLE parent (a int PRIMARY KEY); INSERT INTO parent VALUES (1);
           CREATE TABLE child (a int REFERENCES parent ON DELETE CASCADE); INSERT INTO child VALUES (1);
           CREATE TRIGGER x AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION on_row()""",
        "DELETE FROM parent", ("relation:w", "parent")),
    "trigger in a common table expression": (
        """CREATE TABLE t (a int); CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION on_row()""",
        "WITH w AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM w", ("relation:w", "t")),
    "default": ("CREATE TABLE t (a int DEFAULT hear(), b int)", "INSERT INTO t (b) VALUES (1)", ("relation:w", "t")),
    "check": ("CREATE TABLE t (a int CHECK (hear(a) > 0))", "INSERT INTO t VALUES (1)", ("relation:w", "t")),
    "policy": (
        """CREATE TABLE t (a int); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
           INSERT INTO t SELECT 1 WHERE false; CREATE POLICY p ON t USING (hear() > 0) WITH CHECK (true);
           INSERT INTO t VALUES (1)""",
        "SELECT * FROM t", ("relation:r", "t")),
    "rule": (
        "CREATE TABLE t (a int); CREATE RULE r AS ON INSERT TO t DO ALSO SELECT hear()",
        "INSERT INTO t VALUES (1)", ("relation:w", "t")),
    "declared stable": (
        "CREATE FUNCTION calm() RETURNS text LANGUAGE sql STABLE AS $$ SELECT set_config('work_mem', '3MB', false) $$",
        "SELECT calm()", ("function:o", "calm")),
    "set_config in a view": (
        "CREATE VIEW v AS SELECT set_config('work_mem', '3MB', false)", "SELECT * FROM v", ("relation:r", "v")),
    "set_config as a default": (
        "CREATE TABLE t (a text DEFAULT set_config('work_mem', '3MB', false), b int)",
        "INSERT INTO t (b) VALUES (1)", ("relation:w", "t")),
}

# Nothing here may count as opaque, or the pooler would probe after every statement.
HARMLESS = """
CREATE FUNCTION fine() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR #+# (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE DOMAIN small AS int CHECK (VALUE < 10);
CREATE TABLE ordinary (id serial PRIMARY KEY, a small CHECK (a > 0), b timestamptz DEFAULT now());
CREATE TABLE dependent (a int REFERENCES ordinary ON DELETE CASCADE);
CREATE VIEW visible AS SELECT ordinary.a FROM ordinary JOIN dependent ON id = dependent.a;
CREATE TABLE documents (a text, v tsvector);
CREATE TRIGGER x BEFORE INSERT ON documents FOR EACH ROW
  EXECUTE FUNCTION tsvector_update_trigger(v, 'pg_catalog.english', a);
CREATE TABLE own (a int);
ALTER TABLE own ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON own USING (current_setting('my.tenant', true) = 'x');
CREATE TABLE audited (a int);
CREATE RULE r AS ON INSERT TO audited DO ALSO INSERT INTO own VALUES (1);
"""

LIES = """
CREATE SCHEMA lies;
CREATE FUNCTION lies.never(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION lies.never(oid, oid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE FUNCTION lies.never("char", "char") RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false';
CREATE OPERATOR lies.= (LEFTARG = text, RIGHTARG = text, FUNCTION = lies.never);
CREATE OPERATOR lies.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = lies.never);
CREATE OPERATOR lies.= (LEFTARG = "char", RIGHTARG = "char", FUNCTION = lies.never);
CREATE OPERATOR lies.~ (LEFTARG = text, RIGHTARG = text, FUNCTION = lies.never);
CREATE OPERATOR lies.<> (LEFTARG = oid, RIGHTARG = oid, FUNCTION = lies.never);
CREATE DOMAIN lies.text AS int;
CREATE DOMAIN lies.oid AS int;
CREATE DOMAIN lies.regclass AS int;
CREATE TABLE lies.pg_proc (a int);
CREATE TABLE lies.pg_depend (a int);
"""


@pytest.fixture(scope="module")
def catalog_query():
    source = (ROOT / "src/sql/catalog_facts_query.cpp").read_text()
    return re.search(r'R"sql\((.*?)\)sql"', source, re.DOTALL).group(1)


@pytest.fixture
def facts(cluster, dbname, catalog_query):
    """The query's rows as the database's owner gets them, under a search_path that lies."""

    def ask():
        options = "-c search_path=lies,public,pg_catalog"
        with cluster.primary.connect(dbname=dbname, user="app", options=options) as connection:
            cursor = connection.execute(catalog_query)
            while cursor.description is None:
                assert cursor.nextset()
            return set(cursor.fetchall())

    return ask


@pytest.mark.parametrize("way", WAYS)
def test_the_catalog_query_finds(way, cluster, dbname, facts):
    setup, _, (kind, name) = WAYS[way]
    cluster.primary.query(FUNCTIONS + setup, dbname=dbname, user="app")
    plain = facts()
    cluster.primary.query(LIES, dbname=dbname, user="app")
    lied_to = facts()
    prefix, _, letters = kind.partition(":")
    found = [row for row in plain if row[0].startswith(prefix) and row[1] == name]
    assert found and all(letter in row[0].partition(":")[2] for row in found for letter in letters)
    if name:
        assert any(row[1] == f"public.{name}" for row in plain)
    assert {row for row in lied_to if "lies" not in row[1]} >= plain


def test_the_catalog_query_leaves_the_harmless_alone(cluster, dbname, facts):
    cluster.primary.query(HARMLESS, dbname=dbname, user="app")
    rows = {row for row in facts() if not row[0].startswith(("function:h", "function:n")) and "." not in row[1]}
    assert rows == {
        ("operator:h", "#+#"), ("relation:p", "ordinary_id_seq"), ("relation:s", "ordinary"), ("relation:s", "visible"),
    }


def test_the_catalog_query_knows_extensions(cluster, dbname, facts):
    cluster.primary.query('CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION dblink; CREATE EXTENSION pg_trgm', dbname=dbname)
    rows = dict((name, kind) for kind, name in facts() if kind.startswith("function:"))
    assert rows["uuid_generate_v4"] == "function:v"
    assert rows["dblink_connect"] == "function:p"
    assert rows["dblink"] == "function:v"
    assert rows["set_limit"] == "function:o"
    assert rows["similarity"] == "function:h"


@pytest.fixture(scope="module")
def two_servers(module_balancer):
    return module_balancer(num_init_children=1, max_pool=2)


@pytest.mark.pooler_only
@pytest.mark.parametrize("way", WAYS)
def test_what_is_hidden_pins(way, two_servers, cluster, dbname):
    """Once the facts are loaded, and not only while everything is suspected."""
    setup, statement, _ = WAYS[way]
    cluster.primary.query(FUNCTIONS + setup, dbname=dbname, user="app")
    channels = "SELECT pg_listening_channels()"

    def pinned():
        rows = two_servers.show("POOL_PROCESSES")
        return [row["pinned_reason"] for row in rows if row["database"] == dbname and row["pinned_reason"]]

    with connected(two_servers, dbname) as client:
        # A harmless statement that is suspected makes the facts load.
        client.rows("SELECT * FROM plain")
        client.rows("SELECT * FROM plain")
        client.query(statement)
        if "3MB" in setup:
            assert client.value("SHOW work_mem") == "3MB"
        else:
            await_condition(lambda: pinned(), what="the pin is shown")
            assert client.rows(channels) == [[b"heard"]]
            client.rows("UNLISTEN *")
            await_condition(lambda: pinned() == [], what="the pin ends")
