// What the classifier makes of every kind of statement, and that texts of one fingerprint have one Classification.
#include "sql/attribute_hash.h"
#include "sql/classifier.h"
#include "sql/fingerprint.h"
#include "sql/token_scanner.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "unit/classification_text.h"
#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

struct Row {
    const char *sql;
    const char *expected; // as describe() puts it
};

const Row kRows[] = {
    // Nothing, and nothing the parser takes.
    {";", "empty"},
    {";;", "empty"},
    {"-- only a comment", "empty"},
    {"/* only a comment */", "empty"},
    {"SELEC 1", "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    {"SELECT 'unterminated", "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    {"SELECT 1a", "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    {"SELECT JSON_OBJECT('a': 1)", "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    {"SELECT 0x1F", "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    {"MERGE INTO t USING s ON a = b WHEN MATCHED THEN DELETE RETURNING *",
     "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    {"FETCH 99999999999 FROM c", "unknown SetsSetting ResetsInside MayUnpin Ddl Opaque TransactionControl"},
    // Reads.
    {"SELECT 1", "read"},
    {"SELECT", "read"},
    {"TABLE t", "read R:t"},
    {"VALUES (1), (2)", "read"},
    {"SELECT * FROM a, s.b, ONLY c JOIN d USING (x)", "read R:a,c,d,s.b"},
    {"SELECT abalance FROM pgbench_accounts WHERE aid = 12345;", "read R:pgbench_accounts"},
    {"WITH w AS (SELECT 1) SELECT * FROM w", "read R:w"},
    {"WITH RECURSIVE w(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM w WHERE n < 5) SELECT sum(n) FROM w", "read R:w"},
    {"SELECT 1 UNION SELECT 2 EXCEPT SELECT a FROM t INTERSECT SELECT b FROM u", "read R:t,u"},
    {"SELECT count(*), max(a), row_number() OVER (PARTITION BY b ORDER BY c) FROM t GROUP BY GROUPING SETS ((a), (b))",
     "read R:t"},
    {"SELECT a::int, CAST(b AS text), c::pg_catalog.int8, d::numeric(10, 2)[], 'x'::\"char\", date '2020-01-01', "
     "interval '1' day FROM t",
     "read R:t"},
    {"SELECT EXTRACT(year FROM a), SUBSTRING(b FROM 1 FOR 2), TRIM(BOTH 'x' FROM c), POSITION('a' IN b), OVERLAY(a "
     "PLACING b FROM 1) FROM t",
     "read R:t"},
    {"SELECT COALESCE(a, 1), GREATEST(a, b), NULLIF(a, 1), CASE WHEN a THEN 1 ELSE 2 END, ROW(1, 2), ARRAY[1, 2], "
     "ARRAY(SELECT 1) FROM t",
     "read R:t"},
    {"SELECT a AT TIME ZONE 'UTC', a COLLATE \"C\", a[1], a[1:2], (a).b, a IS DISTINCT FROM b, a IS NULL, NOT a FROM t",
     "read R:t"},
    {"SELECT a BETWEEN 1 AND 2, a NOT BETWEEN SYMMETRIC 1 AND 2, a LIKE 'x', a ILIKE 'x', a SIMILAR TO 'x', a IN (1, "
     "2, 3), a = ANY ($1) FROM t",
     "read R:t"},
    {"SELECT (1, 2) OVERLAPS (3, 4), XMLELEMENT(NAME a, 'b'), XMLPARSE(CONTENT 'x')", "read"},
    {"SELECT * FROM t TABLESAMPLE system (10), LATERAL (SELECT 1) l, generate_series(1, 10) g, ROWS FROM (unnest(a), "
     "unnest(b)) r",
     "read R:t"},
    {"SELECT * FROM t ORDER BY a USING <, b DESC NULLS LAST LIMIT 1 OFFSET 2", "read R:t"},
    {"SELECT * FROM t ORDER BY a FETCH FIRST 1 ROW WITH TIES", "read R:t"},
    {"SELECT \"Foo\".\"Bar\" FROM \"Foo\"", "read R:Foo"},
    {"SELECT pg_catalog.lower('X'), lower('X') WHERE a OPERATOR(pg_catalog.=) b", "read"},
    {"SELECT relname FROM pg_class, pg_catalog.pg_namespace, information_schema.tables",
     "read R:information_schema.tables,pg_catalog.pg_namespace,pg_class"},
    {"SELECT current_user, session_user, current_catalog, current_schema, version()", "read"},
    {"SELECT now(), transaction_timestamp()", "read Now"},
    {"SELECT CURRENT_TIMESTAMP", "read Now"},
    {"SELECT a FROM t WHERE b > LOCALTIMESTAMP(3) - interval '1 day'", "read Now R:t"},
    {"SELECT age(a) FROM t", "read Now R:t"},
    {"SELECT pg_backend_pid()", "read NodeBound"},
    {"SELECT * FROM pg_stat_activity", "read NodeBound R:pg_stat_activity"},
    {"SELECT * FROM pg_catalog.pg_locks", "read NodeBound R:pg_catalog.pg_locks"},
    {"SELECT * FROM pg_settings", "read NodeBound R:pg_settings"},
    {"SELECT current_setting('transaction_read_only')", "read NodeBound"},
    {"SELECT name FROM pg_prepared_statements", "read NamesPrepared NodeBound R:pg_prepared_statements"},
    {"SELECT pg_listening_channels()", "read NodeBound"},
    // Reads only the catalog can judge.
    {"SELECT f(1)", "read F:f"},
    {"SELECT s.f(1), \"G\"(2), f(f(3))", "read F:G,f,s.f"},
    {"SELECT db.s.f(1)", "read F:s.f"},
    {"SELECT * FROM f(1) AS t(a int), u", "read F:f R:u"},
    {"SELECT a <<<>>> b, a OPERATOR(s.+) b, a @#@ ANY (SELECT 1), a ORDER_BY FROM t ORDER BY a USING <#<",
     "read R:t O:<#<,<<<>>>,@#@,s.+"},
    {"SELECT 'x'::mytype, CAST(a AS s.other[]), b::public.dom(3) FROM t", "read R:t T:mytype,public.dom,s.other"},
    {"SELECT pg_catalog.not_there(1)", "read F:pg_catalog.not_there"},
    {"SELECT random_normal()", "write Volatile"},
    {"SELECT * FROM t TABLESAMPLE my_method (10)", "read F:my_method R:t"},
    {"SELECT count(*) FILTER (WHERE f(a)) OVER (ORDER BY g(b)) FROM t", "read F:f,g R:t"},
    {"SELECT CASE WHEN f(1) THEN g(2) END, ARRAY[h(3)], (SELECT i(4)), EXISTS (SELECT j(5)) FROM t LIMIT k(6)",
     "read F:f,g,h,i,j,k R:t"},
    {"VALUES (f(1))", "read F:f"},
    // Reads that are none.
    {"SELECT * FROM t FOR UPDATE", "write Locks R:t"},
    {"SELECT * FROM (SELECT * FROM t FOR KEY SHARE) s", "write Locks R:t"},
    {"WITH w AS (SELECT * FROM t FOR NO KEY UPDATE) SELECT * FROM w", "write Locks R:t,w"},
    {"WITH w AS (DELETE FROM t RETURNING *) SELECT * FROM w", "write writes R:t,w"},
    {"WITH a AS (WITH b AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM b) SELECT * FROM a",
     "write writes R:a,b,t"},
    {"SELECT random()", "write Volatile"},
    {"SELECT txid_current()", "write Volatile"},
    {"SELECT gen_random_uuid() FROM t", "write Volatile R:t"},
    {"SELECT pg_sleep(1)", "write Volatile"},
    {"SELECT pg_notify('a', 'b')", "write Volatile"},
    {"SELECT lo_create(0)", "write Volatile"},
    {"SELECT nextval('s')", "write PinSequence Volatile"},
    {"SELECT a FROM t WHERE b = setval('s', 1)", "write PinSequence Volatile R:t"},
    {"SELECT currval('s'), lastval()", "write ReadsSequenceState Volatile"},
    {"SELECT pg_catalog.nextval('s')", "write PinSequence Volatile"},
    {"SELECT pg_advisory_lock(1)", "write PinAdvisoryLock Volatile"},
    {"SELECT pg_try_advisory_lock_shared(1, 2)", "write PinAdvisoryLock Volatile"},
    {"SELECT pg_advisory_xact_lock(1)", "write Volatile"},
    {"SELECT pg_advisory_unlock(1)", "write MayUnpin Volatile"},
    {"SELECT pg_advisory_unlock_all()", "write MayUnpin Volatile"},
    {"SELECT set_config('search_path', 'x', false)", "write SetsSetting Opaque Volatile"},
    {"SELECT set_config('search_path', 'x', true)", "write Volatile"},
    {"SELECT pg_catalog.Set_Config($1, f(a), TRUE), lower('x')", "write Volatile F:f"},
    {"SELECT set_config('search_path', 'x', 'true')", "write SetsSetting Opaque Volatile"},
    {"SELECT set_config('search_path', 'x', true AND a)", "write SetsSetting Opaque Volatile"},
    {"SELECT set_config('search_path', 'x', is_local => true)", "write SetsSetting Opaque Volatile"},
    {"SELECT set_config('a.b', 'x', true), set_config('a.b', 'x', false)", "write SetsSetting Opaque Volatile"},
    {"SELECT \"set_config\"('a.b', 'x', true)", "write SetsSetting Opaque Volatile"},
    {"SELECT s.set_config('a.b', 'x', true)", "read F:s.set_config"},
    {"SELECT set_config('a.b', (SELECT f(true, false)), true)", "write Volatile F:f"},
    {"SELECT set_config('a.b', NULL, false)", "write SetsSetting ResetsInside Opaque Volatile"},
    {"SELECT set_config('a.b', null::text, true)", "write ResetsInside Volatile"},
    {"SELECT set_config('a.b', coalesce(a, NULL), true)", "write Volatile"},
    {"SELECT set_config('a.b', 'x', true), (1, NULL)", "write Volatile"},
    {"UPDATE pg_settings SET setting = NULL WHERE name = 'x'",
     "write SetsSetting ResetsInside Opaque NodeBound writes R:pg_settings"},
    {"UPDATE pg_settings SET setting = DEFAULT WHERE name = 'x'",
     "write SetsSetting ResetsInside Opaque NodeBound writes R:pg_settings"},
    {"UPDATE t SET setting = NULL", "write writes R:t"},
    {"RESET a; SELECT 1", "multiple Resets ResetsInside MayUnpin"},
    {"SELECT 1; RESET a; RESET ALL; COMMIT; UNLISTEN *", "multiple Resets MayUnpin TransactionControl"},
    {"RESET a; SET b = 1", "multiple SetsSetting Resets ResetsInside MayUnpin"},
    {"BEGIN; RESET a", "multiple Resets MayUnpin TransactionControl"},
    {"SET LOCAL a TO DEFAULT", "set_local ResetsInside name=a"},
    {"SET LOCAL a = 1", "set_local name=a"},
    {"SELECT setseed(0.5)", "write PinSetting Volatile"},
    {"SELECT pg_reload_conf()", "write AltersDefaults Volatile"},
    {"SELECT query_to_xml('select 1', true, true, '')", "write Opaque Volatile"},
    {"SELECT pg_create_logical_replication_slot('a', 'b', true)", "write PinSession Volatile"},
    {"SELECT pg_read_file('x')", "write NodeBound Volatile"},
    {"SELECT pg_export_snapshot()", "write Volatile"},
    // SELECT INTO and its like.
    {"SELECT 1 AS a INTO x", "ddl Ddl Opaque R:x"},
    {"SELECT a INTO s.x FROM t", "ddl Ddl R:s.x,t"},
    {"SELECT 1 AS a INTO TEMP x", "ddl PinTempObject R:x"},
    {"SELECT 1 AS a INTO TEMPORARY TABLE x UNION SELECT 2", "ddl PinTempObject R:x"},
    {"SELECT 1 AS a INTO UNLOGGED s.x", "ddl Ddl R:s.x"},
    {"CREATE TABLE x AS SELECT f(1)", "ddl Ddl Opaque F:f R:x"},
    {"CREATE TABLE s.x AS SELECT nextval('s')", "ddl PinSequence Ddl Volatile R:s.x"},
    {"CREATE TEMP TABLE x AS SELECT 1", "ddl PinTempObject R:x"},
    {"CREATE TABLE s.x AS EXECUTE p(1)", "ddl NamesPrepared Ddl Opaque R:s.x"},
    {"CREATE TABLE IF NOT EXISTS pg_temp.x AS TABLE t", "ddl PinTempObject Ddl R:pg_temp.x,t"},
    {"CREATE MATERIALIZED VIEW s.m AS SELECT f(1)", "ddl Ddl F:f R:s.m"},
    // Writes.
    {"INSERT INTO t VALUES (1)", "write writes R:t"},
    {"INSERT INTO s.t (a, b) SELECT a, f(b) FROM u ON CONFLICT (a) DO UPDATE SET b = g(1) RETURNING h(a)",
     "write writes F:f,g,h R:s.t,u"},
    {"INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, 4, CURRENT_TIMESTAMP);",
     "write Now writes R:pgbench_history"},
    {"UPDATE pgbench_accounts SET abalance = abalance + -321 WHERE aid = 9321;", "write writes R:pgbench_accounts"},
    {"UPDATE t SET a = 1 FROM u WHERE t.b = u.b", "write writes R:t,u"},
    {"UPDATE pg_settings SET setting = 'x' WHERE name = 'work_mem'",
     "write SetsSetting Opaque NodeBound writes R:pg_settings"},
    {"DELETE FROM t USING u WHERE t.a = u.a", "write writes R:t,u"},
    {"DELETE FROM t WHERE CURRENT OF c", "write writes R:t"},
    {"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = f(1) WHEN NOT MATCHED THEN INSERT VALUES (1)",
     "write writes F:f R:s,t"},
    {"WITH w AS (SELECT nextval('s')) INSERT INTO t SELECT * FROM w", "write PinSequence Volatile writes R:t,w"},
    {"INSERT INTO t SELECT * FROM pg_temp.x", "write PinTempObject writes R:pg_temp.x,t"},
    {"INSERT INTO t SELECT * FROM pg_temp_3.x", "write PinTempObject writes R:pg_temp_3.x,t"},
    {"INSERT INTO pg_temporary.t SELECT pg_temp_x FROM u", "write writes R:pg_temporary.t,u"},
    {"TRUNCATE a, s.b RESTART IDENTITY CASCADE", "write writes R:a,s.b"},
    {"COPY t FROM STDIN", "copy_from writes R:t"},
    {"COPY t (a, b) FROM STDIN WITH (FORMAT csv, NULL 'x')", "copy_from writes R:t"},
    {"COPY t FROM '/tmp/x' WHERE f(a) > 1", "copy_from writes F:f R:t"},
    {"COPY t TO STDOUT", "copy_to R:t"},
    {"COPY (SELECT f(a) FROM t) TO STDOUT", "copy_to F:f R:t"},
    {"COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT", "copy_to writes R:t"},
    {"COPY t TO '/tmp/x'", "write R:t"},
    {"COPY t TO PROGRAM 'cat'", "write R:t"},
    // Transactions.
    {"BEGIN", "begin TransactionControl"},
    {"BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE",
     "begin TransactionControl read-only isolation=4"},
    {"BEGIN READ WRITE", "begin TransactionControl read-write"},
    {"START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "begin TransactionControl isolation=3"},
    {"START TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", "begin TransactionControl isolation=1"},
    {"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", "begin TransactionControl read-only isolation=2"},
    {"COMMIT", "commit TransactionControl"},
    {"END;", "commit TransactionControl"},
    {"COMMIT AND CHAIN", "commit Chain TransactionControl"},
    {"COMMIT AND NO CHAIN", "commit TransactionControl"},
    {"ROLLBACK", "rollback TransactionControl"},
    {"ABORT", "rollback TransactionControl"},
    {"ROLLBACK AND CHAIN", "rollback Chain TransactionControl"},
    {"SAVEPOINT a", "savepoint TransactionControl"},
    {"RELEASE a", "savepoint TransactionControl"},
    {"ROLLBACK TO SAVEPOINT a", "savepoint TransactionControl"},
    {"PREPARE TRANSACTION 'g'", "prepare_transaction TransactionControl"},
    {"COMMIT PREPARED 'g'", "commit_prepared TransactionControl"},
    {"ROLLBACK PREPARED 'g'", "commit_prepared TransactionControl"},
    // Settings.
    {"SET search_path = a, 'b'", "set SetsSetting name=search_path"},
    {"SET search_path TO DEFAULT", "reset Resets MayUnpin name=search_path"},
    {"SET SESSION work_mem = 1", "set SetsSetting name=work_mem"},
    {"SET LOCAL work_mem = 1", "set_local name=work_mem"},
    {"SET LOCAL work_mem TO DEFAULT", "set_local ResetsInside name=work_mem"},
    {"SET my.Thing = 'x'", "set SetsSetting name=my.thing"},
    {"SET \"My\".\"Thing\" = 'x'", "set SetsSetting name=my.thing"},
    {"SET TIME ZONE 'UTC'", "set SetsSetting name=timezone"},
    {"SET TIME ZONE INTERVAL '1' HOUR TO MINUTE", "set SetsSetting name=timezone"},
    {"SET TIME ZONE LOCAL", "reset Resets MayUnpin name=timezone"},
    {"SET NAMES 'utf8'", "set SetsSetting name=client_encoding"},
    {"SET ROLE x", "set PinSetting SetsSetting SetsRole name=role"},
    {"SET ROLE 'x'", "set PinSetting SetsSetting SetsRole name=role"},
    {"SET ROLE NONE", "set PinSetting SetsSetting SetsRole name=role"},
    {"SET LOCAL ROLE x", "set_local name=role"},
    {"SET SESSION AUTHORIZATION x", "set PinSetting SetsSetting SetsRole name=session_authorization"},
    {"SET SESSION AUTHORIZATION DEFAULT", "reset Resets MayUnpin SetsRole name=session_authorization"},
    {"SET role = 'x'", "set PinSetting SetsSetting SetsRole name=role"},
    {"SET seed = 0.5", "set PinSetting SetsSetting name=seed"},
    {"SET SEED TO 0.5", "set PinSetting SetsSetting name=seed"},
    {"SET XML OPTION DOCUMENT", "set SetsSetting name=xmloption"},
    {"SET TRANSACTION READ ONLY", "set_local read-only"},
    {"SET TRANSACTION SNAPSHOT 'x'", "set_local"},
    {"SET transaction_read_only = on", "set_local name=transaction_read_only"},
    {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
     "set PinSetting SetsSetting isolation=4"},
    {"SET CONSTRAINTS ALL DEFERRED", "set_local"},
    {"RESET work_mem", "reset Resets MayUnpin name=work_mem"},
    {"RESET ALL", "reset Resets MayUnpin name=all"},
    {"RESET ROLE", "reset Resets MayUnpin SetsRole name=role"},
    {"RESET SESSION AUTHORIZATION", "reset Resets MayUnpin SetsRole name=session_authorization"},
    {"RESET TIME ZONE", "reset Resets MayUnpin name=timezone"},
    {"SHOW work_mem", "show name=work_mem"},
    {"SHOW ALL", "show name=all"},
    {"SHOW TIME ZONE", "show name=timezone"},
    {"SHOW Transaction_Read_Only", "show name=transaction_read_only"},
    {"DISCARD ALL", "discard Resets MayUnpin DeallocatesAll name=all"},
    {"DISCARD TEMP", "discard MayUnpin name=temp"},
    {"DISCARD SEQUENCES", "discard MayUnpin name=sequences"},
    {"DISCARD PLANS", "discard name=plans"},
    // Prepared statements, cursors, notifications.
    {"PREPARE p AS SELECT f(1)", "prepare PinPrepare NamesPrepared name=p F:f"},
    {"PREPARE p (int) AS INSERT INTO t VALUES ($1)", "prepare PinPrepare NamesPrepared writes name=p R:t"},
    {"EXECUTE p", "execute NamesPrepared Opaque name=p"},
    {"EXECUTE \"P\" (f(1), 2)", "execute NamesPrepared Opaque name=P F:f"},
    {"DEALLOCATE p", "deallocate MayUnpin NamesPrepared name=p"},
    {"DEALLOCATE PREPARE ALL", "deallocate MayUnpin DeallocatesAll"},
    {"DECLARE c CURSOR FOR SELECT f(1)", "declare_cursor F:f"},
    {"DECLARE c SCROLL CURSOR FOR SELECT 1", "declare_cursor"},
    {"DECLARE c INSENSITIVE CURSOR FOR SELECT 1", "declare_cursor"},
    {"DECLARE c ASENSITIVE CURSOR WITHOUT HOLD FOR SELECT 1", "declare_cursor"},
    {"DECLARE c BINARY NO SCROLL CURSOR WITH HOLD FOR SELECT a FROM t", "declare_cursor PinHoldCursor R:t"},
    {"FETCH 5 FROM c", "fetch_or_close"},
    {"FETCH c", "fetch_or_close"},
    {"MOVE FORWARD ALL FROM c", "fetch_or_close"},
    {"CLOSE c", "fetch_or_close MayUnpin"},
    {"CLOSE ALL", "fetch_or_close MayUnpin"},
    {"LISTEN x", "listen PinListen"},
    {"UNLISTEN x", "unlisten MayUnpin"},
    {"UNLISTEN *", "unlisten MayUnpin"},
    {"NOTIFY x", "notify"},
    {"NOTIFY x, 'payload'", "notify"},
    // EXPLAIN.
    {"EXPLAIN SELECT nextval('s'), f(1) FROM t", "explain F:f R:t"},
    {"EXPLAIN INSERT INTO t VALUES (1)", "explain R:t"},
    {"EXPLAIN (COSTS off, FORMAT json) SELECT 1", "explain"},
    {"EXPLAIN ANALYZE SELECT 1", "explain"},
    {"EXPLAIN ANALYZE INSERT INTO t VALUES (nextval('s'))", "explain PinSequence Volatile writes R:t"},
    {"EXPLAIN (ANALYZE) DELETE FROM t", "explain writes R:t"},
    {"EXPLAIN (ANALYZE false) UPDATE t SET a = 1", "explain writes R:t"},
    {"EXPLAIN (ANALYZE 'off') SELECT random()", "explain Volatile"},
    {"EXPLAIN ANALYZE CREATE TABLE s.x AS SELECT 1", "explain Ddl R:s.x"},
    {"EXPLAIN CREATE TEMP TABLE x AS SELECT 1", "explain R:x"},
    {"EXPLAIN EXECUTE p", "explain NamesPrepared Opaque name=p"},
    {"EXPLAIN ANALYZE EXECUTE \"P\"(1)", "explain NamesPrepared Opaque name=P"},
    {"EXPLAIN DECLARE c CURSOR FOR SELECT 1", "explain"},
    // Code.
    {"CALL p(1, f(2))", "call Opaque F:f,p"},
    {"CALL s.p()", "call Opaque F:s.p"},
    {"DO $$ BEGIN PERFORM 1; END $$", "do_block ResetsInside Ddl Opaque"},
    {"DO LANGUAGE plpgsql 'begin end'", "do_block ResetsInside Ddl Opaque"},
    {"LOAD 'x'", "write PinLoad"},
    // Locks and maintenance.
    {"LOCK t", "lock Locks R:t"},
    {"LOCK TABLE s.t IN ACCESS SHARE MODE NOWAIT", "lock Locks R:s.t"},
    {"VACUUM", "write Opaque"},
    {"VACUUM (FULL) t", "write Opaque R:t"},
    {"ANALYZE t (a)", "write Opaque R:t"},
    {"CLUSTER t USING i", "write Opaque R:t"},
    {"REINDEX TABLE t", "write Opaque R:t"},
    {"CHECKPOINT", "write"},
    {"REFRESH MATERIALIZED VIEW m", "write Opaque R:m"},
    // DDL.
    {"CREATE TABLE s.t (id serial PRIMARY KEY, a int DEFAULT f(1), b mytype CHECK (g(b)), c int DEFAULT nextval('x'))",
     "ddl Ddl"},
    {"CREATE TABLE t (a int)", "ddl Ddl Opaque"},
    {"CREATE TEMP TABLE t (a int)", "ddl PinTempObject"},
    {"CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP", "ddl PinTempObject"},
    {"CREATE LOCAL TEMP TABLE t (a int)", "ddl PinTempObject"},
    {"CREATE UNLOGGED TABLE s.t (a int)", "ddl Ddl"},
    {"CREATE TABLE pg_temp.t (a int)", "ddl PinTempObject Ddl"},
    {"CREATE TABLE s.t (LIKE pg_temp.u)", "ddl PinTempObject Ddl"},
    {"CREATE TABLE s.t PARTITION OF s.p FOR VALUES FROM (1) TO (2)", "ddl Ddl"},
    {"CREATE FOREIGN TABLE s.t (a int) SERVER x", "ddl Ddl R:s.t"},
    {"CREATE VIEW s.v AS SELECT f(1), nextval('s') FROM t", "ddl Ddl"},
    {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "ddl PinTempObject"},
    {"CREATE SEQUENCE s.q", "ddl Ddl"},
    {"CREATE TEMP SEQUENCE q", "ddl PinTempObject"},
    {"CREATE SEQUENCE q", "ddl Ddl Opaque"},
    {"CREATE INDEX ON t (f(a))", "ddl Ddl Opaque F:f R:t"},
    {"CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (a) WHERE g(a)", "ddl Ddl Opaque F:g R:s.t"},
    {"CREATE FUNCTION s.f(a mytype) RETURNS int LANGUAGE sql SET search_path = x AS 'select 1'", "ddl Ddl"},
    {"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT nextval('s'); END", "ddl Ddl Opaque"},
    {"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'select 1'", "ddl PinTempObject Ddl"},
    {"CREATE PROCEDURE s.p() LANGUAGE sql AS 'select 1'", "ddl Ddl"},
    {"CREATE AGGREGATE s.a (int) (SFUNC = f, STYPE = int)", "ddl Ddl"},
    {"CREATE OPERATOR s.+ (LEFTARG = int, FUNCTION = f)", "ddl Ddl"},
    {"CREATE TYPE s.c AS (a int)", "ddl Ddl"},
    {"CREATE TYPE pg_temp.c AS (a int)", "ddl PinTempObject Ddl"},
    {"CREATE TYPE e AS ENUM ('a')", "ddl Ddl Opaque"},
    {"CREATE TYPE s.r AS RANGE (SUBTYPE = int)", "ddl Ddl"},
    {"CREATE DOMAIN s.d AS int CHECK (f(VALUE))", "ddl Ddl"},
    {"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", "ddl Ddl"},
    {"CREATE RULE r AS ON INSERT TO t DO ALSO SELECT nextval('s')", "ddl Ddl"},
    {"CREATE POLICY p ON t USING (f(a))", "ddl Ddl"},
    {"CREATE CAST (a AS b) WITH FUNCTION f(a)", "ddl Ddl T:a,b"},
    {"CREATE SCHEMA s CREATE TABLE t (a int)", "ddl Ddl Opaque R:t"},
    {"CREATE EXTENSION x", "ddl Ddl Opaque"},
    {"ALTER EXTENSION x UPDATE", "ddl Ddl Opaque"},
    {"IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c", "ddl Ddl Opaque"},
    {"CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()", "ddl Ddl"},
    {"CREATE ROLE x", "ddl Ddl"},
    {"CREATE DATABASE x", "ddl Ddl"},
    {"ALTER TABLE t ADD COLUMN b int DEFAULT f(1)", "ddl Ddl writes F:f R:t"},
    {"ALTER TABLE t ALTER COLUMN a TYPE mytype USING g(a)", "ddl Ddl writes F:g R:t T:mytype"},
    {"ALTER INDEX i SET (fillfactor = 50)", "ddl Ddl writes R:i"},
    {"ALTER SEQUENCE q RESTART", "ddl Ddl R:q"},
    {"ALTER FUNCTION f() VOLATILE", "ddl Ddl"},
    {"ALTER ROLE x SET work_mem = 1", "ddl Ddl AltersDefaults"},
    {"ALTER ROLE x IN DATABASE d RESET ALL", "ddl Ddl AltersDefaults"},
    {"ALTER DATABASE d SET search_path = x", "ddl Ddl AltersDefaults"},
    {"ALTER ROLE x PASSWORD 'y'", "ddl Ddl"},
    {"ALTER SYSTEM SET work_mem = 1", "write AltersDefaults"},
    {"ALTER SYSTEM RESET ALL", "write AltersDefaults"},
    {"DROP TABLE t, s.u CASCADE", "ddl MayUnpin Ddl"},
    {"DROP FUNCTION f(int)", "ddl MayUnpin Ddl"},
    {"DROP SCHEMA s", "ddl MayUnpin Ddl"},
    {"DROP TABLE pg_temp.t", "ddl MayUnpin Ddl"},
    {"DROP OWNED BY x", "ddl MayUnpin Ddl"},
    {"DROP DATABASE d", "ddl Ddl"},
    {"GRANT SELECT ON t TO x", "ddl Ddl R:t"},
    {"REVOKE ALL ON SCHEMA s FROM x", "ddl Ddl"},
    {"GRANT a TO b", "ddl Ddl"},
    {"COMMENT ON TABLE t IS 'x'", "ddl Ddl"},
    {"SECURITY LABEL ON TABLE t IS 'x'", "ddl Ddl"},
    {"REASSIGN OWNED BY a TO b", "ddl Ddl"},
    {"CREATE STATISTICS s.x ON a, b FROM t", "ddl Ddl R:t"},
    {"CREATE PUBLICATION p FOR ALL TABLES", "ddl Ddl"},
    {"CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "ddl Ddl"},
    {"CREATE TABLESPACE x LOCATION '/x'", "ddl Ddl"},
    {"CREATE TEXT SEARCH DICTIONARY s.d (TEMPLATE = simple)", "ddl Ddl"},
    {"CREATE TEXT SEARCH DICTIONARY pg_temp.d (TEMPLATE = simple)", "ddl PinTempObject Ddl"},
    {"CREATE COLLATION s.c FROM \"C\"", "ddl Ddl"},
    {"CREATE CONVERSION s.c FOR 'UTF8' TO 'LATIN1' FROM f", "ddl Ddl"},
    {"CREATE SERVER x FOREIGN DATA WRAPPER y", "ddl Ddl"},
    {"CREATE USER MAPPING FOR x SERVER y", "ddl Ddl"},
    // Several.
    {"SELECT 1; SELECT 2", "multiple"},
    {"SELECT 1;", "read"},
    {"BEGIN; SELECT f(1); COMMIT", "multiple TransactionControl F:f"},
    {"SET a.b = 1; INSERT INTO t VALUES (1)", "multiple SetsSetting writes R:t"},
    {"BEGIN READ ONLY; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "multiple TransactionControl"},
    {"LISTEN x; UNLISTEN *", "multiple PinListen MayUnpin"},
    {"CREATE TEMP TABLE t (a int); SELECT 1", "multiple PinTempObject"},
    {"EXECUTE p; DEALLOCATE ALL", "multiple MayUnpin DeallocatesAll NamesPrepared Opaque"},
    {"DISCARD ALL; SELECT 1", "multiple Resets ResetsInside MayUnpin DeallocatesAll"},
    // Hints.
    {"/*NO LOAD BALANCE*/ SELECT 1", "read hint=1"},
    {"/* no load balance */ SELECT 1", "read hint=1"},
    {"/*+ pgbalancer: primary */ SELECT 1", "read hint=1"},
    {"/*+pgbalancer:standby*/SELECT 1", "read hint=2"},
    {"/*+ pgbalancer: node=12 */ BEGIN", "begin TransactionControl hint=3:12"},
    {"/*+ pgbalancer: node=-1 */ SELECT 1", "read"},
    {"/*+ pgbalancer: standby please */ SELECT 1", "read"},
    {"SELECT /*NO LOAD BALANCE*/ 1", "read"},
};

void every_statement_is_what_it_is(void **) {
    int wrong = 0;
    for (const Row &row : kRows) {
        const std::string found = describe(classify_text(row.sql, {}));
        if (found != row.expected) {
            printf("%s\n  expected %s\n  found    %s\n", row.sql, row.expected, found.c_str());
            ++wrong;
        }
    }
    assert_int_equal(wrong, 0);
}

// -- One fingerprint, one Classification.

// The tokens of a text, to be written anew with other literals, spacing and case.
class Rewriter {
  public:
    explicit Rewriter(std::mt19937 &random) : random_(random) {}

    void word(const char *text, size_t size) {
        std::string word(text, size);
        if (random_() % 3 == 0) {
            std::ranges::transform(word, word.begin(), [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
        }
        add(word);
    }
    void quoted_word(const char *text, size_t size) { add('"' + std::string(text, size) + '"'); }
    void operation(const char *text, size_t size) { add({text, size}); }
    void literal(LiteralKind kind) {
        switch (kind) {
        case LiteralKind::integer: return add(std::to_string(random_() % 100000));
        case LiteralKind::numeric:
            return add(std::to_string(random_() % 1000) + "." + std::to_string(random_() % 1000));
        case LiteralKind::national_string: return add("N'begin'");
        case LiteralKind::bit_string: return add(random_() % 2 != 0 ? "B'01'" : "x'f'");
        case LiteralKind::parameter: return add("$" + std::to_string(1 + random_() % 9));
        case LiteralKind::string: break;
        }
        static const char *const kStrings[] = {"''",           "'pg_temp.x'",      "'none'", "E'a\\'; drop'",
                                               "$$ begin; $$", "'nextval(''s'')'", "'on'",   "'analyze'",
                                               "'x'\n'y'",     "$q$'$q$"};
        add(kStrings[random_() % std::size(kStrings)]);
    }
    const std::string &text() const { return text_; }

  private:
    void add(const std::string &token) {
        static const char *const kSpaces[] = {" ", "\n", " /* x */ ", "\t\t", " -- x\n ", "/**/ "};
        if (!text_.empty()) {
            // Between two strings a newline would make one of them.
            text_ += kSpaces[token.find('\'') == std::string::npos ? random_() % std::size(kSpaces) : 0];
        }
        text_ += token;
    }
    std::mt19937 &random_;
    std::string text_;
};

void texts_of_one_fingerprint_are_of_one_kind(void **) {
    const FingerprintKey key;
    std::mt19937 random(4711);
    int compared = 0;
    int wrong = 0;
    for (const Row &row : kRows) {
        const auto original = fingerprint(row.sql, key, {});
        const Classification first = classify_text(row.sql, {});
        if (!original || first.hint != RoutingHint::none) {
            continue;
        }
        for (int i = 0; i < 8; ++i) {
            Rewriter rewriter(random);
            if (!scan_tokens(row.sql, {}, rewriter)) {
                ++wrong;
                break;
            }
            const auto other = fingerprint(rewriter.text(), key, {});
            const Classification second = classify_text(rewriter.text(), {});
            ++compared;
            if (other != original || describe(first) != describe(second) || first.builtins != second.builtins ||
                first.attributes != second.attributes) {
                printf("%s\n%s\n  %s\n  %s\n", row.sql, rewriter.text().c_str(), describe(first).c_str(),
                       describe(second).c_str());
                ++wrong;
            }
        }
    }
    assert_int_equal(wrong, 0);
    assert_true(compared > 1500);
}

void different_statements_have_different_fingerprints(void **) {
    const FingerprintKey key;
    int wrong = 0;
    std::vector<std::pair<Fingerprint, const Row *>> all;
    for (const Row &row : kRows) {
        if (const auto mine = fingerprint(row.sql, key, {})) {
            for (const auto &[other, of] : all) {
                if (other == *mine && std::string(of->expected) != row.expected) {
                    printf("collide: %s | %s\n", row.sql, of->sql);
                    ++wrong;
                }
            }
            all.emplace_back(*mine, &row);
        }
    }
    assert_int_equal(wrong, 0);
}

// -- The rest of a Classification.

void builtins_and_attributes_are_listed(void **) {
    const Classification what =
        classify_text("SELECT Lower(a), pg_catalog.upper(b), t.x, (t).y, s.t.z, t.* , u FROM t", {});
    std::vector<uint32_t> expected{attribute_hash("x"), attribute_hash("y"), attribute_hash("z")};
    std::ranges::sort(expected);
    assert_true(what.builtins == std::vector<std::string>{"lower"});
    assert_true(what.attributes == expected);
}

void escapes_follow_the_setting(void **) {
    const LexRules escapes{.standard_conforming_strings = false};
    const std::string on = describe(classify_text("SELECT 'a\\', nextval('s') FROM t", {}));
    const std::string off = describe(classify_text("SELECT 'a\\', nextval(' FROM t", escapes));
    const std::string doubt = describe(classify_text("SELECT 'a\\', nextval('s') FROM t", escapes));
    assert_string_equal(on.c_str(), "write PinSequence Volatile R:t");
    assert_string_equal(off.c_str(), "read R:t");
    assert_true(doubt.starts_with("unknown "));
}

// -- Limits. None of these may take the stack, or long.

std::string nested(const std::string &open, const std::string &middle, const std::string &close, size_t depth) {
    std::string text;
    for (size_t i = 0; i < depth; ++i) {
        text += open;
    }
    text += middle;
    for (size_t i = 0; i < depth; ++i) {
        text += close;
    }
    return text;
}

void nesting_is_bounded(void **) {
    const std::pair<const char *, std::string> shapes[] = {
        {"parentheses", "SELECT " + nested("(", "1", ")", 100000)},
        {"open parentheses", "SELECT " + std::string(100000, '(')},
        {"sub-selects", nested("SELECT (", "SELECT 1", ")", 20000)},
        {"operators", "SELECT 1" + nested("+1", "", "", 100000)},
        {"prefix operators", "SELECT " + nested("- ", "1", "", 100000)},
        {"negations", "SELECT " + nested("NOT ", "true", "", 50000)},
        {"casts", "SELECT a" + nested("::int", "", "", 50000)},
        {"cases", "SELECT " + nested("CASE WHEN a THEN ", "1", " END", 20000)},
        {"calls", "SELECT " + nested("f(", "1", ")", 50000)},
        {"brackets", "SELECT " + nested("ARRAY[", "1", "]", 50000)},
        {"subscripts", "SELECT " + nested("a[", "1", "]", 50000)},
        {"unions", "SELECT a" + nested(" UNION SELECT a", "", "", 50000)},
        {"joins", "SELECT 1 FROM a" + nested(" JOIN a ON b", "", "", 50000)},
        {"right-hand joins", "SELECT 1 FROM " + nested("a JOIN (", "a", " ON b) ON b", 20000)},
        {"names that look like separators", "SELECT a" + nested(" + a.and", "", "", 50000)},
        {"collations", "SELECT a" + nested(" COLLATE b", "", "", 50000)},
        {"time zones", "SELECT a" + nested(" AT TIME ZONE b", "", "", 50000)},
        {"statements", nested("EXPLAIN ", "SELECT 1", "", 50000)},
        {"with", nested("WITH a AS (", "SELECT 1", ") SELECT 1", 20000)},
    };
    int wrong = 0;
    for (const auto &[name, sql] : shapes) {
        const Classification what = classify_text(sql, {});
        if (what.kind != StatementKind::unknown || what.effects != kUnknownEffects) {
            printf("%s: %s\n", name, describe(what).substr(0, 200).c_str());
            ++wrong;
        }
    }
    assert_int_equal(wrong, 0);
}

void lists_are_not_nesting(void **) {
    std::string conditions = "SELECT * FROM t WHERE a = 1";
    std::string columns = "SELECT a";
    std::string cases = "SELECT CASE";
    for (int i = 0; i < 1200; ++i) {
        const std::string n = std::to_string(i);
        conditions += (i % 2 != 0 ? " AND b" : " OR c") + n + " = " + n;
        columns += ", t.c" + n + " + 1";
        cases += " WHEN a" + n + " > 1 THEN b";
    }
    const std::string first = describe(classify_text(conditions, {}));
    const std::string second = describe(classify_text(columns, {}));
    const std::string third = describe(classify_text(cases + " END FROM t", {}));
    assert_string_equal(first.c_str(), "read R:t");
    assert_string_equal(second.c_str(), "read");
    assert_string_equal(third.c_str(), "read R:t");
}

void long_lists_of_values_are_parsed_whole(void **) {
    std::string rows = "INSERT INTO t VALUES (1, 'x', now())";
    for (int i = 0; i < 20000; ++i) {
        rows += ", (" + std::to_string(i) + ", 'yyyyyyyyyyyyyyyy', now())";
    }
    rows += " RETURNING f(a)";
    const std::string found = describe(classify_text(rows, {}));
    assert_string_equal(found.c_str(), "write Now writes F:f R:t");
}

void what_is_too_long_is_unknown(void **) {
    std::string sql = "SELECT 1";
    for (int i = 0; i < 20000; ++i) {
        sql += ", a" + std::to_string(i);
    }
    const Classification what = classify_text(sql, {});
    assert_int_equal(what.kind, StatementKind::unknown);
    assert_int_equal(what.effects, kUnknownEffects);
}

void too_many_names_count_as_opaque(void **) {
    std::string sql = "SELECT 1 FROM a";
    for (int i = 0; i < 600; ++i) {
        sql += ", a" + std::to_string(i);
    }
    const Classification what = classify_text(sql, {});
    assert_int_equal(what.effects & (kOpaque | kSerialInsert | kNodeBound), kOpaque | kSerialInsert | kNodeBound);
    assert_true(what.relations.empty());
    assert_int_equal(what.kind, StatementKind::write);
}

void a_zero_byte_is_doubtful(void **) {
    const Classification what = classify_text(std::string_view("SELECT 1\0; LISTEN x", 20), {});
    assert_int_equal(what.effects, kUnknownEffects);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_statement_is_what_it_is),
        cmocka_unit_test(texts_of_one_fingerprint_are_of_one_kind),
        cmocka_unit_test(different_statements_have_different_fingerprints),
        cmocka_unit_test(builtins_and_attributes_are_listed),
        cmocka_unit_test(escapes_follow_the_setting),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(lists_are_not_nesting),
        cmocka_unit_test(long_lists_of_values_are_parsed_whole),
        cmocka_unit_test(what_is_too_long_is_unknown),
        cmocka_unit_test(too_many_names_count_as_opaque),
        cmocka_unit_test(a_zero_byte_is_doubtful),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
