"""What conversations are about: the same objects for each session, called a_items, b_items …, and functions for all."""

SESSIONS = "abc"

_EACH = """
CREATE TABLE {who}_items (id int PRIMARY KEY, n int, t text);
CREATE TABLE {who}_serials (id serial PRIMARY KEY, n int CHECK (n < 1000));
CREATE TABLE {who}_deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE {who}_logged (id int, n int);
CREATE TABLE {who}_log (number serial, what text);
CREATE UNLOGGED TABLE {who}_unlogged (id int, n int);
CREATE SEQUENCE {who}_sequence;
CREATE VIEW {who}_view AS SELECT id, n * 2 AS n, t FROM {who}_items WHERE n % 2 = 0;
CREATE VIEW {who}_view_of_unlogged AS SELECT id, n FROM {who}_unlogged;
CREATE VIEW {who}_view_of_writer AS SELECT id, scribble('{who}_serials', id) > 0 AS written FROM {who}_items WHERE id < 3;
CREATE FUNCTION {who}_note() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO {who}_log (what) VALUES (TG_OP || ' ' || COALESCE(NEW.n, 0)); RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON {who}_logged FOR EACH ROW EXECUTE FUNCTION {who}_note();
CREATE TRIGGER set_it BEFORE DELETE ON {who}_logged FOR EACH STATEMENT EXECUTE FUNCTION set_it();
"""

_FUNCTIONS = """
CREATE TABLE constants (id int PRIMARY KEY, n int, t text);
INSERT INTO constants SELECT n, n * n, 'constant ' || n FROM generate_series(1, 20) n;
CREATE SEQUENCE shared_sequence;
CREATE FUNCTION doubled(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
CREATE FUNCTION constant(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT n FROM constants WHERE id = $1';
CREATE FUNCTION count_of(text) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
  DECLARE r bigint; BEGIN EXECUTE format('SELECT count(*) FROM %I', $1) INTO r; RETURN r; END $$;
CREATE FUNCTION shown(text) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN current_setting($1); END';
CREATE FUNCTION tells(int) RETURNS int LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE NOTICE 'told %', $1; RETURN $1; END $$;
CREATE FUNCTION fails_above(int) RETURNS int LANGUAGE plpgsql STABLE AS $$
  BEGIN IF $1 > 5 THEN RAISE 'too much: %', $1 USING ERRCODE = 'P0042', DETAIL = 'five', HINT = 'less'; END IF; RETURN $1; END $$;
CREATE FUNCTION scribble(text, int) RETURNS int LANGUAGE plpgsql AS $$
  DECLARE r int; BEGIN EXECUTE format('INSERT INTO %I (n) VALUES ($1) RETURNING id', $1) USING $2 INTO r; RETURN r; END $$;
CREATE FUNCTION sly(text, int) RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN scribble($1, $2); END';
CREATE FUNCTION sly_next(text) RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN nextval($1); END';
CREATE FUNCTION sets(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN set_config($1, $2, false); END';
CREATE FUNCTION sets_locally(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN set_config($1, $2, true); END';
CREATE FUNCTION listens(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'LISTEN ' || $1; END $$;
CREATE FUNCTION makes_temp(text) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN EXECUTE 'CREATE TEMP TABLE ' || $1 || ' AS SELECT 1 AS id, 2 AS n, NULL::text AS t'; END $$;
CREATE FUNCTION prepares(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'PREPARE ' || $1 || ' AS SELECT 99'; END $$;
CREATE FUNCTION caught(int) RETURNS text LANGUAGE plpgsql AS $$
  BEGIN PERFORM 1 / $1; RETURN 'fine'; EXCEPTION WHEN division_by_zero THEN RETURN 'caught'; END $$;
CREATE FUNCTION set_it() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN PERFORM set_config('work_mem', '4321kB', false); RETURN NULL; END $$;
CREATE PROCEDURE commits(text) LANGUAGE plpgsql AS $$ BEGIN PERFORM scribble($1, 1); COMMIT; PERFORM scribble($1, 2); END $$;
CREATE PROCEDURE fails_late(text) LANGUAGE plpgsql AS $$ BEGIN PERFORM scribble($1, 3); COMMIT; RAISE 'late'; END $$;
CREATE TABLE marks (n int);
INSERT INTO marks VALUES (0);
"""

_DATA = """
DELETE FROM {who}_items; DELETE FROM {who}_serials; DELETE FROM {who}_deferred; DELETE FROM {who}_log;
DELETE FROM {who}_unlogged; DELETE FROM {who}_logged;
INSERT INTO {who}_items SELECT n, n * 3, 'item ' || n FROM generate_series(1, 10) n;
INSERT INTO {who}_deferred VALUES (1), (2);
INSERT INTO {who}_unlogged VALUES (1, 1), (2, 2);
SELECT setval('{who}_serials_id_seq', 1, false), setval('{who}_log_number_seq', 1, false), setval('{who}_sequence', 1, false);
"""


def _for_each(template: str) -> str:
    return "".join(template.format(who=who) for who in SESSIONS)


def create() -> str:
    """Makes everything anew, whatever there was."""
    return "DROP SCHEMA public CASCADE; CREATE SCHEMA public;" + _FUNCTIONS + _for_each(_EACH) + refill()


def refill() -> str:
    """Puts back the rows and the sequences: no DDL, after which reads would be the primary's for a while."""
    return _for_each(_DATA) + "SELECT setval('shared_sequence', 1, false);"


def contents() -> str:
    """One row with all that the tables hold."""
    tables = [f"{who}_{name}" for who in SESSIONS for name in ("items", "serials", "deferred", "logged", "log", "unlogged")]
    return "SELECT " + ", ".join(f"(SELECT array_agg(x::text ORDER BY x::text) FROM public.{name} x) AS {name}" for name in tables)
