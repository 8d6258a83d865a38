"""The SQL of conversations: families of templates, and what their placeholders stand for.

Rows come in a defined order, and nothing depends on time, process ids, oids or chance. What doc/LIFE_OF_A_QUERY.md lists as a
difference to a direct connection is not asked for.
"""

import random

from .schema import SESSIONS

# Placeholders: {items} … are tables of the session, or of any if conversations are about each other's rows; {own} is always
# its own prefix, {i} a number that is often a key, {v} any number.
FAMILIES = {
    "read": """
        SELECT id, n, t FROM {items} ORDER BY id
        SELECT n FROM {items} WHERE id = {i}
        SELECT count(*), sum(n) FROM {items}
        TABLE {items} ORDER BY id LIMIT {small}
        WITH few AS (SELECT * FROM {items} WHERE id < {i}) SELECT sum(n) FROM few
        SELECT i.id, c.t FROM {items} i JOIN constants c ON c.id = i.id ORDER BY 1
        SELECT id, n FROM {serials} ORDER BY id, n
        SELECT count(*) FROM {serials} WHERE n = {v}
        SELECT id FROM {deferred} ORDER BY id
        SELECT what FROM {log} ORDER BY number
        SELECT count_of('{items}')
        SELECT id, n FROM {view} ORDER BY id
        SELECT t FROM {items} WHERE t LIKE 'item%' AND n > {v} ORDER BY t COLLATE "C"
        SELECT EXISTS (SELECT FROM {items} WHERE id = {i}), (SELECT max(id) FROM {serials})
        SELECT count(*) FROM {items}; SELECT count(*) FROM {serials}
    """,
    "constant": """
        SELECT t FROM constants WHERE id = {i}
        SELECT doubled({v}), constant({i})
        VALUES ({v}, 'x'), ({i}, NULL) ORDER BY 1
        SELECT tells({i})
        SELECT fails_above({i})
        SELECT n FROM generate_series(1, {small}) n ORDER BY n
        SELECT sum(n) FROM constants WHERE id = ANY (ARRAY[{i}, {small}])
        SELECT
        SELECT {v} AS "a column", NULL::int, '{text}' || 'ä'
        EXPLAIN (COSTS OFF) SELECT n FROM constants WHERE n = {v}
    """,
    "shown": """
        SELECT date '2001-02-03', timestamptz '2001-02-03 04:05:06Z'
        SELECT interval '1 day 2 hours', '\\x01ff'::bytea
        SELECT 0.1::float8 + 0.2::float8, 'a\\b'
        SELECT current_setting('work_mem'), current_setting('TimeZone')
        SELECT shown('{setting}')
        SHOW {setting}
        SHOW work_mem
        SHOW transaction_isolation
        SHOW transaction_read_only
        SELECT current_user, session_user
        SELECT n FROM shadow.constants WHERE id = {i}
        SELECT array_agg(n ORDER BY n) FROM (SELECT n FROM constants WHERE id < 4) x
    """,
    "write": """
        INSERT INTO {items} VALUES ({i}, {v}, '{text}')
        INSERT INTO {items} VALUES ({i}, {v}) ON CONFLICT (id) DO UPDATE SET n = EXCLUDED.n
        INSERT INTO {serials} (n) VALUES ({v}) RETURNING id
        INSERT INTO {serials} (n) SELECT n FROM constants WHERE id < {small}
        UPDATE {items} SET n = n + 1 WHERE id = {i} RETURNING n
        UPDATE {items} SET n = {v}, t = '{text}' WHERE id > {i}
        DELETE FROM {items} WHERE id = {i}
        DELETE FROM {serials} WHERE n = {v}
        WITH gone AS (DELETE FROM {items} WHERE id = {i} RETURNING n) SELECT sum(n) FROM gone
        INSERT INTO {deferred} VALUES ({i})
        INSERT INTO {logged} VALUES ({i}, {v})
        UPDATE {logged} SET n = {v} WHERE id = {i}
        DELETE FROM {logged} WHERE id = {i}
        INSERT INTO {unlogged} VALUES ({i}, {v})
        UPDATE {view} SET n = {v} WHERE id = {i}
        MERGE INTO {items} i USING constants c ON c.id = i.id AND c.id < 5 WHEN MATCHED THEN UPDATE SET n = c.n
    """,
    "unsafe": """
        SELECT id, n FROM {unlogged} ORDER BY id, n
        SELECT count(*) FROM {view_of_unlogged}
        SELECT id, written FROM {view_of_writer} ORDER BY id
        SELECT last_value, is_called FROM {own}_sequence
        SELECT scribble('{serials}', {v})
        SELECT caught({zero})
        SELECT id FROM {items} WHERE id = {i} FOR UPDATE
        SELECT id FROM {items} ORDER BY id LIMIT 2 FOR SHARE
        SELECT id FROM {items} ORDER BY id LIMIT 3 FOR UPDATE SKIP LOCKED
        SELECT id FROM (SELECT id FROM {items} WHERE id = {i} FOR NO KEY UPDATE NOWAIT) x
        SELECT random() < 2, count(*) FROM {items}
        SELECT setseed(0.5); SELECT random()
        EXPLAIN (COSTS OFF, ANALYZE, TIMING OFF, SUMMARY OFF) INSERT INTO {serials} (n) VALUES ({v})
        EXPLAIN (COSTS OFF) DELETE FROM {serials}
        CALL commits('{serials}')
        CALL fails_late('{serials}')
        DO $$ BEGIN PERFORM scribble('{serials}', {v}); END $$
        DO $$ BEGIN PERFORM 1 / {zero}; END $$
    """,
    "alone": """
        SELECT sly('{serials}', {v})
        SELECT sly_next('{own}_sequence')
        SELECT name, statement FROM pg_prepared_statements WHERE NOT from_sql ORDER BY name
        SELECT name FROM pg_prepared_statements ORDER BY name
    """,
    "error": """
        SELECT 1 / {zero}
        SELECT n / {zero} FROM constants ORDER BY id
        SELECT nothing FROM {items}
        SELECT * FROM no_such_table
        SELECT no_such_function({v})
        SELEC 1
        SELECT 'x{v}'::int
        INSERT INTO {items} VALUES (1, {v})
        INSERT INTO {serials} (n) VALUES (1000 + {v})
        UPDATE constants SET id = {zero}
        SELECT (1, 2) = 3
        SELECT $1
        CREATE DATABASE
        VACUUM constants
        INSERT INTO {view_of_writer} VALUES (1)
        RELEASE never
        COMMIT PREPARED 'never'
        SET no_such_setting = 1
        SET work_mem = 'much'
        SET LOCAL work_mem = '5MB'
    """,
    "begin": """
        BEGIN
        BEGIN
        BEGIN
        START TRANSACTION
        BEGIN READ ONLY
        BEGIN READ ONLY
        BEGIN READ WRITE
        BEGIN ISOLATION LEVEL REPEATABLE READ
        START TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY
        BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY
        BEGIN ISOLATION LEVEL SERIALIZABLE
        BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY
    """,
    "end": """
        COMMIT
        COMMIT
        COMMIT
        ROLLBACK
        ROLLBACK
        END
        ABORT
        COMMIT AND CHAIN
        ROLLBACK AND CHAIN
    """,
    "inside": """
        SAVEPOINT {savepoint}
        SAVEPOINT {savepoint}
        ROLLBACK TO {savepoint}
        ROLLBACK TO SAVEPOINT {savepoint}
        RELEASE {savepoint}
        BEGIN
        SET LOCAL {set}
        SET CONSTRAINTS ALL IMMEDIATE
        SELECT pg_advisory_xact_lock({key})
        DECLARE {cursor} CURSOR FOR SELECT id, n FROM {items} ORDER BY id
        DECLARE {cursor} SCROLL CURSOR FOR SELECT n FROM constants ORDER BY id
        FETCH {small} FROM {cursor}
        FETCH ALL FROM {cursor}
        MOVE {small} IN {cursor}
        CLOSE {cursor}
        UPDATE {items} SET n = 0 WHERE CURRENT OF {cursor}
        LOCK TABLE {own}_items IN SHARE ROW EXCLUSIVE MODE
    """,
    "setting": """
        SET {set}
        SET {set}
        SET SESSION {set}
        SET LOCAL {set}
        RESET {setting}
        SET {setting} TO DEFAULT
        SELECT set_config('work_mem', '{small}MB', false)
        SELECT set_config('work_mem', '{small}MB', true)
        SELECT sets('work_mem', '{v}MB')
        SELECT sets_locally('work_mem', '9MB')
        SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY
        SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
        SET default_transaction_isolation = 'repeatable read'
        SET default_transaction_isolation = 'read committed'
        SET TIME ZONE '{small}'
        RESET ALL
    """,
    "session": """
        LISTEN {channel}
        LISTEN {channel}
        UNLISTEN {channel}
        UNLISTEN *
        NOTIFY {channel}, '{text}'
        NOTIFY {channel}
        SELECT pg_notify('{channel}', '{v}')
        SELECT listens('{channel}')
        SELECT pg_try_advisory_lock({key})
        SELECT pg_try_advisory_lock_shared({key})
        SELECT pg_advisory_unlock({key})
        SELECT pg_advisory_unlock_all()
        DECLARE {cursor} CURSOR WITH HOLD FOR SELECT id, n FROM {items} ORDER BY id
        FETCH {small} FROM {cursor}
        CLOSE {cursor}
        CLOSE ALL
        PREPARE {prepared} AS SELECT n FROM {items} WHERE id = {i}
        PREPARE {prepared}(int) AS INSERT INTO {serials} (n) VALUES ($1) RETURNING id
        PREPARE {prepared}(int) AS SELECT n + $1 FROM constants WHERE id = $1
        SELECT prepares('{prepared}')
        EXECUTE {prepared}
        EXECUTE {prepared}({i})
        EXECUTE {prepared}({i})
        EXPLAIN (COSTS OFF) EXECUTE {prepared}({i})
        DEALLOCATE {prepared}
        DEALLOCATE ALL
        SELECT name FROM pg_cursors WHERE is_holdable ORDER BY name
        DISCARD ALL
        DISCARD PLANS
    """,
    "temporary": """
        CREATE TEMP TABLE {temp} (id int, n int, t text)
        CREATE TEMP TABLE {own}_items (id int, n int, t text)
        CREATE TEMP TABLE {own}_serials (id serial, n int)
        CREATE TEMP TABLE {temp} AS SELECT * FROM {own}_items
        CREATE TEMP TABLE {temp} (id int, n int, t text) ON COMMIT DROP
        SELECT * INTO TEMP {temp} FROM constants WHERE id < {small}
        SELECT makes_temp('{temp}')
        CREATE TEMP VIEW {temp} AS SELECT id, n, t FROM {own}_items
        INSERT INTO {temp} VALUES ({i}, {v})
        INSERT INTO {temp} VALUES ({i}, {v})
        SELECT id, n FROM {temp} ORDER BY id, n
        SELECT id, n FROM {temp} ORDER BY id, n
        SELECT count_of('{temp}')
        DROP TABLE {temp}
        DROP VIEW {temp}
        CREATE TABLE pg_temp.{temp} (id int, n int, t text)
        DISCARD TEMP
    """,
    "sequence": """
        SELECT nextval('{own}_sequence')
        SELECT nextval('shared_sequence')
        SELECT currval('{own}_sequence')
        SELECT lastval()
        SELECT setval('{own}_sequence', {v})
        INSERT INTO {own}_serials (n) VALUES ({v})
        SELECT currval('{own}_serials_id_seq')
        DISCARD SEQUENCES
    """,
    "ddl": """
        CREATE TABLE {extra} (id int PRIMARY KEY, n int, t text)
        CREATE TABLE {extra} AS SELECT * FROM {own}_items
        INSERT INTO {extra} VALUES ({i}, {v})
        INSERT INTO {extra} VALUES ({i}, {v})
        SELECT * FROM {extra} ORDER BY id
        SELECT * FROM {extra} ORDER BY id
        SELECT count_of('{extra}')
        ALTER TABLE {extra} ADD COLUMN more int DEFAULT {v}
        ALTER TABLE {extra} DROP COLUMN more
        ALTER TABLE {extra} ALTER n TYPE text
        ALTER TABLE {extra} RENAME t TO u
        CREATE INDEX ON {extra} (n)
        DROP TABLE {extra} CASCADE
        TRUNCATE {extra}
        CREATE OR REPLACE VIEW {extra}_view AS SELECT id, n FROM {extra}
        SELECT id, n FROM {extra}_view ORDER BY id
        DROP VIEW {extra}_view
        CREATE OR REPLACE FUNCTION {own}_changing() RETURNS int LANGUAGE sql STABLE AS 'SELECT {v}'
        CREATE OR REPLACE FUNCTION {own}_changing() RETURNS int LANGUAGE sql AS 'INSERT INTO {own}_serials (n) VALUES ({v}) RETURNING id'
        SELECT {own}_changing()
        SELECT {own}_changing()
        DROP FUNCTION {own}_changing()
        CREATE RULE r AS ON INSERT TO {extra} DO ALSO INSERT INTO {own}_serials (n) VALUES ({v})
        CREATE TRIGGER t AFTER DELETE ON {extra} EXECUTE FUNCTION set_it()
        DELETE FROM {extra}
        CREATE SCHEMA IF NOT EXISTS shadow
        CREATE TABLE shadow.constants AS SELECT id, -n AS n, t FROM constants
        DROP SCHEMA shadow CASCADE
        COMMENT ON TABLE {own}_items IS '{text}'
        ANALYZE {own}_items
        REINDEX TABLE {own}_items
        LOCK TABLE {own}_items
        TRUNCATE {own}_items
    """,
}

_SETTINGS = [
    "work_mem = '{small}MB'",
    "work_mem TO {v}00",
    "application_name = '{text}'",
    "search_path = shadow, public",
    "search_path TO public",
    "search_path = pg_temp, public",
    "DateStyle = 'German'",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'iso_8601'",
    "TimeZone = 'Asia/Tokyo'",
    "TimeZone = 'UTC'",
    "extra_float_digits = 0",
    "bytea_output = 'escape'",
    "client_encoding = 'LATIN1'",
    "client_encoding = 'UTF8'",
    "standard_conforming_strings = off",
    "standard_conforming_strings = on",
    "client_min_messages = 'warning'",
    "client_min_messages = 'notice'",
    "enable_seqscan = off",
    "plan_cache_mode = 'force_generic_plan'",
    "default_transaction_read_only = on",
    "default_transaction_read_only = off",
    "statement_timeout = '20s'",
]
_SETTING_NAMES = sorted({setting.split()[0] for setting in _SETTINGS})


def _templates(family: str) -> list[str]:
    return [line.strip() for line in family.strip().splitlines()]


_TEMPLATES = {name: _templates(family) for name, family in FAMILIES.items()}


class _Placeholders:
    """Draws what a placeholder stands for, each time it is asked."""

    def __init__(self, chance: random.Random, who: str, shared: bool):
        self._chance = chance
        self._who = who
        self._owner = chance.choice(SESSIONS) if shared and chance.random() < 0.6 else who

    def __getitem__(self, name: str) -> str:
        chance = self._chance
        drawn = {
            "own": lambda: self._who,
            "extra": lambda: f"{self._who}_extra{chance.randint(1, 2)}",
            "temp": lambda: f"temp{chance.randint(1, 2)}",
            "i": lambda: str(chance.randint(1, 12)),
            "v": lambda: str(chance.randint(0, 99)),
            "small": lambda: str(chance.randint(1, 5)),
            "zero": lambda: str(int(chance.random() < 0.3)),
            "text": lambda: chance.choice(["plain", "two words", "ü", "it''s", ""]),
            "savepoint": lambda: chance.choice(["s1", "s2"]),
            "cursor": lambda: chance.choice(["c1", "c2"]),
            "prepared": lambda: chance.choice(["q1", "q2"]),
            "channel": lambda: chance.choice(["news", "mail"]),
            "key": lambda: f"{chance.randint(1, 3)}",
            "setting": lambda: chance.choice(_SETTING_NAMES),
            "set": lambda: chance.choice(_SETTINGS).format_map(self),
        }
        return drawn[name]() if name in drawn else f"{self._owner}_{name}"


def draw(chance: random.Random, who: str, family: str, shared: bool) -> str:
    """One statement of a family for the session `who`; `shared`: about anybody's rows."""
    return chance.choice(_TEMPLATES[family]).format_map(_Placeholders(chance, who, shared))
