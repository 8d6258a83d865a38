-- What routing.tsv is about: relations, functions and operators of every kind that decides where a statement may run.
-- Run by a user without special rights, except where it says so. routing.facts is what the catalog query says of it.
CREATE TABLE t (id int PRIMARY KEY, v text, w int DEFAULT 0);
CREATE TABLE child (id int REFERENCES t ON DELETE CASCADE, v text);
CREATE TABLE serials (id serial PRIMARY KEY, v text);
CREATE TABLE identities (id int GENERATED ALWAYS AS IDENTITY, v text);
CREATE UNLOGGED TABLE fleeting (id int, v text);
CREATE SEQUENCE numbers;
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (100);
CREATE TABLE mixed (id int, v text) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE mixed_low PARTITION OF mixed FOR VALUES FROM (0) TO (100);
CREATE TABLE base (id int);
CREATE TABLE derived (more text) INHERITS (base);

INSERT INTO t SELECT i, 'v' || i, i FROM generate_series(1, 10) i;
INSERT INTO child VALUES (1, 'one'), (2, 'two');
INSERT INTO serials (v) VALUES ('a'), ('b');
INSERT INTO parts VALUES (1, 'one');

CREATE FUNCTION constant(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION looks_up(int) RETURNS text LANGUAGE sql STABLE AS 'SELECT v FROM t WHERE id = $1';
CREATE FUNCTION undeclared(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION writes(int) RETURNS int LANGUAGE sql AS 'UPDATE t SET w = w + 1 WHERE id = $1 RETURNING w';
CREATE FUNCTION get_volatile(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION overloaded(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION overloaded(text) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1';
CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1::text';
CREATE FUNCTION upper(int) RETURNS text LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1; END';
CREATE FUNCTION settings_behind(text) RETURNS text LANGUAGE sql STABLE AS $$SELECT set_config('work_mem', $1, false)$$;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION whole(t) RETURNS text LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1.v; END';
CREATE PROCEDURE proceeds() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE adds(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE FUNCTION adds_badly(int, int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1 + $2; END';
CREATE AGGREGATE bad_sum(int) (SFUNC = adds_badly, STYPE = int, INITCOND = '0');
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
CREATE OPERATOR #!# (LEFTARG = int, RIGHTARG = int, FUNCTION = adds_badly);
CREATE DOMAIN plain_domain AS int CHECK (VALUE > 0);
CREATE DOMAIN bad_domain AS int CHECK (get_volatile(VALUE) > 0);
CREATE SCHEMA other;
CREATE TABLE other.t (id int, v text);
CREATE FUNCTION other.constant(int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN $1; END';

CREATE TABLE triggered (id int);
CREATE TRIGGER touch BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION touched();
CREATE TABLE guarded (id int, v text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded USING (get_volatile(id) > 0);

CREATE VIEW simple_view AS SELECT id, v FROM t;
CREATE VIEW joined_view AS SELECT t.id, child.v FROM t JOIN child USING (id);
CREATE VIEW view_of_view AS SELECT * FROM simple_view;
CREATE VIEW fleeting_view AS SELECT * FROM fleeting;
CREATE VIEW view_of_fleeting_view AS SELECT * FROM fleeting_view;
CREATE VIEW random_view AS SELECT id, random() AS r FROM t;
CREATE VIEW calling_view AS SELECT get_volatile(id) AS g FROM t;
CREATE VIEW drawing_view AS SELECT nextval('numbers') AS n;
CREATE VIEW sequence_view AS SELECT last_value FROM numbers;
CREATE VIEW activity_view AS SELECT pid FROM pg_stat_activity;
CREATE VIEW clock_view AS SELECT now() AS n;
CREATE MATERIALIZED VIEW stored_view AS SELECT id, v FROM t;
CREATE INDEX ON t (v);
