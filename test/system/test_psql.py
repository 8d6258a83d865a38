"""psql prints through pgbalancer what it prints directly."""

import os
import re
import subprocess

import pytest

from support.paths import postgres_program

SETUP = """CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, 5) i;
CREATE VIEW few AS SELECT * FROM items WHERE id < 3; CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
COMMENT ON TABLE items IS 'things'; CREATE INDEX ON items (name); CREATE SCHEMA other; CREATE SEQUENCE numbers;"""


def psql(server, dbname, script, *arguments, **environment):
    """Standard output and errors, in their order."""
    done = subprocess.run(
        [postgres_program("psql"), "-X", "-h", server.host, "-p", str(server.port), "-U", "app", "-d", dbname, *arguments],
        input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env=os.environ | environment,
    )  # fmt: skip
    return done.stdout


@pytest.fixture
def same_output(cluster, target, dbname, oracle_dbname):
    """same_output(script) runs it directly and through the target; returns the output, in which a database's name is DB."""

    def run(script, *arguments, **environment):
        outputs = []
        for server, database in ((cluster.primary, oracle_dbname), (target, dbname)):
            cluster.primary.query(SETUP, dbname=database, user="app")
            printed = psql(server, database, script.replace("DBNAME", database), *arguments, **environment)
            printed = printed.replace(database, "DB").replace(str(server.port), "PORT")
            outputs.append(re.sub(r"PID \d+|pg_temp_\d+", "N", printed))
        cluster.primary.query("DROP OWNED BY app CASCADE", dbname=oracle_dbname)
        assert outputs[1] == outputs[0]
        return outputs[0]

    return run


def test_describing(same_output):
    printed = same_output("\\d\n\\d items\n\\d+ few\n\\df twice\n\\dn\n\\ds\n\\dt+ other.*\n\\sf twice\n\\dd\n\\encoding\n")
    assert "Table \"public.items\"" in printed


def test_copy(same_output, tmp_path):
    file = tmp_path / "rows"
    printed = same_output(
        f"\\copy items to '{file}'\nDELETE FROM items;\n\\copy items from '{file}'\nSELECT count(*) FROM items;\n"
        "\\copy (SELECT * FROM items WHERE id = 2) to stdout csv header\n"
        "\\copy items (id, name) from stdin\n10\tten\n11\televen\n\\.\n"
        "COPY items FROM stdin;\n12\ttwelve\nnonsense\n\\.\n"
        "COPY items TO stdout;\n"
    )
    assert "COPY 5" in printed and "11\televen" in printed and "invalid input" in printed


def test_connecting_again(same_output):
    printed = same_output(
        "SET work_mem = '1MB';\n\\c - other\nSELECT current_user;\nSHOW work_mem;\n\\c DBNAME app\nSELECT current_user;\n"
        "\\c postgres\nSELECT current_database();\n\\c no_such_database\n"
    )
    assert "other" in printed and "does not exist" in printed


def test_gdesc_gset_gexec_crosstab(same_output):
    same_output(
        "SELECT id, name, now() AS t FROM items \\gdesc\nSELECT count(*) AS n FROM items \\gset\n\\echo :n\n"
        "SELECT format('CREATE TABLE t%s ()', i) FROM generate_series(1, 3) i \\gexec\n\\dt t*\n"
        "SELECT id % 2 AS a, id AS b, name AS c FROM items \\crosstabview\n"
        "SELEC \\gdesc\n\\errverbose\nSELECT 1/0;\n\\echo :SQLSTATE :LAST_ERROR_MESSAGE\n"
    )


def test_watch(cluster, target, dbname):
    """psql 15 watches until it is interrupted: the query goes on being run, and the interrupt ends psql."""
    process = subprocess.Popen(
        [postgres_program("psql"), "-X", "-A", "-t", "-h", target.host, "-p", str(target.port), "-U", "app", "-d", dbname],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        process.stdin.write("SELECT 'seen' \\watch 0.05\n")
        process.stdin.flush()
        seen = 0
        while seen < 5:
            seen += process.stdout.readline().strip() == "seen"
        process.send_signal(2)
        process.stdin.write("SELECT 'after';\n\\q\n")
        process.stdin.flush()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def test_transactions_and_prompts(same_output):
    same_output(
        "\\set PROMPT1 '%x>'\nBEGIN;\nSAVEPOINT a;\nSELECT 1/0;\nSELECT 1;\nROLLBACK TO a;\nCOMMIT;\nCOMMIT;\nSELECT 1\\; SELECT 2;\n"
        "\\set AUTOCOMMIT off\nINSERT INTO items VALUES (100);\nROLLBACK;\nSELECT count(*) FROM items;\nCOMMIT;\n"
    )


def test_on_error_rollback_and_fetch_count(same_output):
    printed = same_output(
        "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nINSERT INTO items VALUES (200, 'x');\nSELECT 1/0;\nCOMMIT;\n"
        "\\set FETCH_COUNT 2\nSELECT * FROM items ORDER BY id;\nSELECT 1/(id - 3) FROM items;\n"
    )
    assert "200" in printed


@pytest.mark.parametrize("arguments", [["-1"], ["-v", "ON_ERROR_STOP=1"], ["-q", "-A", "-t"]], ids=lambda a: a[0])
def test_ways_of_running_scripts(same_output, arguments):
    same_output("INSERT INTO items VALUES (300);\nSELECT count(*) FROM items;\nSELECT 1/0;\nSELECT 'after';\n", *arguments)


def test_session_state_in_a_script(same_output):
    printed = same_output(
        "CREATE TEMP TABLE scratch AS SELECT 1 AS a;\nSELECT * FROM scratch;\nPREPARE p(int) AS SELECT $1 + 1;\nEXECUTE p(41);\n"
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM items;\nFETCH 2 FROM c;\nCLOSE c;\nLISTEN ch;\nNOTIFY ch, 'x';\n"
        "SELECT nextval('numbers'), currval('numbers');\nSELECT lastval();\nSET search_path = other;\n"
        "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema();\nRESET ALL;\n\\d items\n"
        "DISCARD ALL;\nEXECUTE p(1);\nSELECT * FROM scratch;\n"
    )
    assert "42" in printed and "Asynchronous notification" in printed


def test_environment_options(same_output):
    printed = same_output(
        "SHOW work_mem; SHOW DateStyle; SHOW TimeZone; SHOW application_name; SHOW search_path;\nRESET ALL;\nSHOW work_mem;\n",
        PGOPTIONS="-c work_mem=7MB -c search_path=other", PGDATESTYLE="German", PGTZ="Asia/Tokyo", PGAPPNAME="my app",
    )  # fmt: skip
    assert printed.count("7MB") == 2 and "German" in printed and "my app" in printed


def test_large_objects(same_output, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(bytes(range(256)) * 1000)
    same_output(f"\\lo_import '{file}'\n\\lo_export :LASTOID '{tmp_path}/copy'\n\\lo_unlink :LASTOID\n", "-q")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()
