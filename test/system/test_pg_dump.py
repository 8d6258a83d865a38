"""pg_dump and pg_restore through pgbalancer: the dump is the one taken directly, and restores to the same."""

import subprocess

import pytest

from support.paths import postgres_program

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE parents (id serial PRIMARY KEY, name text NOT NULL, state mood, made timestamptz DEFAULT '2020-01-01');
CREATE TABLE children (id int GENERATED ALWAYS AS IDENTITY, parent int REFERENCES parents, data bytea, doc jsonb);
CREATE INDEX ON children ((doc ->> 'key'));
CREATE VIEW happy AS SELECT * FROM parents WHERE state = 'happy';
CREATE MATERIALIZED VIEW counts AS SELECT count(*) FROM parents;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER stamp BEFORE UPDATE ON parents FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE SEQUENCE free_numbers START 77;
CREATE TABLE parts (a int) PARTITION BY RANGE (a);
CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
INSERT INTO parents (name, state) SELECT 'name ' || i, CASE i % 2 WHEN 0 THEN 'sad'::mood ELSE 'happy' END FROM generate_series(1, 2000) i;
INSERT INTO children (parent, data, doc) SELECT i, decode(md5(i::text), 'hex'), jsonb_build_object('key', i) FROM generate_series(1, 2000) i;
INSERT INTO parts SELECT generate_series(0, 99);
SELECT nextval('free_numbers');
SELECT lo_from_bytea(4711, 'a large object');
COMMENT ON TABLE parents IS 'all of them';
GRANT SELECT ON parents TO other;
REFRESH MATERIALIZED VIEW counts;
"""


def run(program, *arguments):
    done = subprocess.run([postgres_program(program), *arguments], capture_output=True, timeout=90)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def at(server, dbname):
    return ["-h", server.host, "-p", str(server.port), "-U", "app", "-d", dbname]


def dump(server, dbname):
    """As text, without the lines that carry a random key."""
    text = run("pg_dump", *at(server, dbname)).decode()
    return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


@pytest.fixture
def filled(cluster, dbname):
    cluster.primary.query(SCHEMA, dbname=dbname, user="app")
    return dbname


def test_text_dump_restored_by_psql(target, cluster, filled, tmp_path):
    expected = dump(cluster.primary, filled)
    assert dump(target, filled) == expected
    with cluster.database(filled + "copy") as copy:
        file = tmp_path / "dump.sql"
        file.write_bytes(run("pg_dump", *at(target, filled)))
        run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *at(target, copy), "-f", str(file))
        assert dump(cluster.primary, copy) == expected


@pytest.mark.parametrize("form", ["custom", "directory"])
def test_archives_restored_in_parallel(target, cluster, filled, tmp_path, form):
    """Parallel dumps share a snapshot between sessions, by its exported name."""
    expected = dump(cluster.primary, filled)
    archive = str(tmp_path / "archive")
    jobs = ["-j", "3"] if form == "directory" else []
    run("pg_dump", *at(target, filled), "-F", form, *jobs, "-f", archive)
    with cluster.database(filled + "copy") as copy:
        run("pg_restore", *at(target, copy), "-j", "3", "--exit-on-error", archive)
        assert dump(cluster.primary, copy) == expected


def test_restore_as_one_transaction(target, cluster, filled, tmp_path):
    archive = str(tmp_path / "archive")
    run("pg_dump", *at(target, filled), "-F", "custom", "-f", archive)
    with cluster.database(filled + "copy") as copy:
        run("pg_restore", *at(target, copy), "-1", archive)
        assert dump(cluster.primary, copy) == dump(cluster.primary, filled)
