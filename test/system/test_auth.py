"""Who gets in, by which method, with which kind of secret; and how pgbalancer logs in to servers with what it has."""

import hashlib

import psycopg
import pytest

from support import frontend as fe
from support.postgres import USERS
from support.raw_client import RawClient
from support.waiting import await_condition

pytestmark = pytest.mark.pooler_only

PASSWORD = USERS["app"]


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


@pytest.fixture(scope="module")
def secrets(cluster):
    """Lines of pool_passwd for user app, by kind."""
    verifier = cluster.primary.scalar("SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
    assert verifier.startswith("SCRAM-SHA-256$")
    return {
        "text": f"app:TEXT{PASSWORD}",
        "md5": f"app:{md5_secret('app', PASSWORD)}",
        "verifier": f"app:{verifier}",
    }


def login(balancer, dbname, user="app", password=PASSWORD, **parameters):
    """The role that the server knows us as; or the SQLSTATE we are refused with."""
    try:
        with balancer.connect(dbname=dbname, user=user, password=password, **parameters) as connection:
            return connection.execute("SELECT current_user").fetchone()[0]
    except psycopg.OperationalError as error:
        text = str(error)
        return "refused" if "authentication failed" in text or "password" in text else text


# method × kind of secret: md5 needs the md5 hash or the password, scram its verifier or the password
WORKING = {
    ("scram-sha-256", "text"),
    ("scram-sha-256", "verifier"),
    ("md5", "text"),
    ("md5", "md5"),
    ("password", "text"),
    ("password", "md5"),
    ("password", "verifier"),
}


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "password"])
@pytest.mark.parametrize("kind", ["text", "md5", "verifier"])
def test_methods_and_secrets(make_balancer, dbname, secrets, method, kind):
    balancer = make_balancer(client_auth_method=method, secrets=[secrets[kind]])
    if (method, kind) in WORKING or (method, kind) == ("md5", "verifier"):
        # As in PostgreSQL, method md5 with a SCRAM verifier uses SCRAM.
        assert login(balancer, dbname) == "app"
    else:
        assert login(balancer, dbname) == "refused"
    for wrong in ("", "wrong", PASSWORD.upper(), PASSWORD + " ", PASSWORD[:-1], "x" * 1000):
        assert login(balancer, dbname, password=wrong) != "app"


def test_unknown_users_look_like_wrong_passwords(make_balancer, secrets, dbname):
    """What a stranger is told must not say whether the user exists."""
    balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[secrets["text"]])
    answers = []
    for user in ("app", "stranger"):
        with pytest.raises(psycopg.OperationalError) as failure:
            balancer.connect(dbname=dbname, user=user, password="wrong")
        answers.append(str(failure.value).split("FATAL:", 1)[1].replace(user, "USER"))
    assert answers[0] == answers[1]
    requests = []
    for user in ("app", "stranger"):
        with RawClient(balancer) as client:
            client.send(fe.startup({"user": user, "database": dbname}))
            requests.append(client.receive())
    assert requests[0] == requests[1]


def test_salts_of_unknown_users_do_not_change(make_balancer, secrets, dbname):
    """A salt made up anew each time would give a stranger away."""
    balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[secrets["text"]])

    def salt(user):
        with RawClient(balancer) as client:
            client.send(fe.startup({"user": user, "database": dbname}))
            client.receive()
            client.send(fe.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnopqrstuvwx"))
            answer = client.receive().payload[4:].decode()
            return [part for part in answer.split(",") if part[0] in "si"]

    assert salt("stranger") == salt("stranger") and salt("stranger") != salt("another")
    assert salt("app") == salt("app")


@pytest.mark.parametrize("server_database", ["auth_scram", "auth_md5", "auth_password"])
def test_password_is_used_towards_the_server(make_balancer, secrets, server_database):
    balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[secrets["text"]])
    assert login(balancer, server_database) == "app"


def test_pass_through_with_only_the_verifier(make_balancer, secrets):
    """No password anywhere: the client's proof yields what the server asks for."""
    balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[secrets["verifier"]])
    assert login(balancer, "auth_scram") == "app"
    assert login(balancer, "auth_scram", password="wrong") == "refused"
    assert login(balancer, "auth_scram") == "app"
    assert PASSWORD not in balancer.log_text()


def test_verifier_of_another_salt_cannot_log_in_to_the_server(make_balancer, cluster, secrets):
    """The client is who it says, but what we have is not enough for the server: an error, not a hang."""
    cluster.primary.query(f"CREATE ROLE twin LOGIN PASSWORD '{PASSWORD}'")
    try:
        verifier = cluster.primary.scalar("SELECT rolpassword FROM pg_authid WHERE rolname = 'twin'")
        balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[f"app:{verifier}"])
        assert login(balancer, "postgres") == "app"
        assert login(balancer, "auth_scram") != "app"
        assert login(balancer, "postgres") == "app"
    finally:
        cluster.primary.query("DROP ROLE twin")


def test_md5_secret_towards_an_md5_server(make_balancer, cluster):
    with cluster.primary.connect() as connection:
        connection.execute("SET password_encryption = 'md5'")
        connection.execute("CREATE ROLE old LOGIN PASSWORD 'old-secret'")
    try:
        balancer = make_balancer(client_auth_method="md5", secrets=[f"old:{md5_secret('old', 'old-secret')}"])
        assert login(balancer, "auth_md5", "old", "old-secret") == "old"
        assert login(balancer, "auth_md5", "old", "wrong") == "refused"
    finally:
        cluster.primary.query("DROP ROLE old")


def test_secrets_with_all_kinds_of_characters(make_balancer, cluster):
    password = "p:ä ß'\"\\%§ TEXTmd5"
    with cluster.primary.connect() as connection:
        connection.execute(f"CREATE ROLE odd LOGIN PASSWORD $q${password}$q$")
    try:
        balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[f"odd:TEXT{password}"])
        assert login(balancer, "auth_scram", "odd", password) == "odd"
        assert login(balancer, "auth_scram", "odd", password[:-1]) == "refused"
    finally:
        cluster.primary.query("DROP ROLE odd")


def test_trust_needs_no_secret(make_balancer, dbname):
    balancer = make_balancer(client_auth_method="trust", secrets=[])
    assert login(balancer, dbname, password="whatever") == "app"


def test_reload_reads_secrets_anew(make_balancer, secrets, dbname):
    balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[secrets["text"]])
    with balancer.connect(dbname=dbname, password=PASSWORD) as connection:
        balancer.write_secrets([])
        balancer.reload()
        await_condition(lambda: login(balancer, dbname) == "refused", what="the secret is gone")
        assert connection.execute("SELECT 1").fetchone() == (1,), "sessions that are in stay in"
    balancer.write_secrets([secrets["verifier"]])
    balancer.reload()
    await_condition(lambda: login(balancer, dbname) == "app")


def test_each_user_has_server_connections_of_its_own(make_balancer, dbname, secrets):
    balancer = make_balancer(
        num_init_children=1, max_pool=4, client_auth_method="scram-sha-256",
        secrets=[secrets["text"], f"other:TEXT{USERS['other']}"],
    )  # fmt: skip
    for _ in range(3):
        assert login(balancer, dbname) == "app"
        assert login(balancer, dbname, "other", USERS["other"]) == "other"
        assert login(balancer, dbname, "other", PASSWORD) == "refused"


@pytest.mark.parametrize(
    "answer",
    [
        fe.password("app-secret"),
        fe.sasl_initial_response("SCRAM-SHA-1", b"n,,n=,r=abc"),
        fe.sasl_initial_response("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,n=,r=abc"),
        fe.sasl_initial_response("SCRAM-SHA-256", b""),
        fe.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r="),
        fe.sasl_initial_response("SCRAM-SHA-256", b"y,,n=,r=" + b"a" * 5000),
        fe.sasl_initial_response("SCRAM-SHA-256", b"n,a=admin,n=,r=abcdefghijklmnop"),
        fe.sasl_initial_response("SCRAM-SHA-256", b"n,,m=ext,n=,r=abcdefghijklmnop"),
        fe.message(b"p", b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,"),
        fe.message(b"p", b""),
        fe.query("SELECT 1"),
        b"p\x7f\xff\xff\xff",
        b"p\0\0\0\0",
    ],
    ids=lambda answer: repr(answer[:40]),
)
def test_malformed_authentication_messages(make_balancer, module_balancer, dbname, answer):
    balancer = module_balancer(client_auth_method="scram-sha-256")
    workers = balancer.worker_pids()
    with RawClient(balancer) as client:
        client.send(fe.startup({"user": "app", "database": dbname}))
        assert client.receive().kind == b"R"
        client.send(answer)
        client.socket.shutdown(1)
        messages = client.receive_to_end()
        assert b"Z" not in [m.kind for m in messages]
        assert all(m.payload[:4] != b"\0\0\0\0" for m in messages if m.kind == b"R"), "authentication succeeded"
    assert balancer.worker_pids() == workers


def test_wrong_proof_and_wrong_nonce(module_balancer, dbname, make_balancer, secrets):
    balancer = make_balancer(client_auth_method="scram-sha-256", secrets=[secrets["text"]])
    for final in ("c=biws,r={nonce},p=" + "A" * 43 + "=", "c=biws,r=other,p=AAAA", "c=eSws,r={nonce},p=AAAA", "", "p=", "c=,r="):
        with RawClient(balancer) as client:
            client.send(fe.startup({"user": "app", "database": dbname}))
            client.receive()
            client.send(fe.sasl_initial_response("SCRAM-SHA-256", b"n,,n=,r=abcdefghijklmnopqrstuvwx"))
            server_first = client.receive().payload[4:].decode()
            nonce = server_first.split(",")[0][2:]
            client.send(fe.sasl_response(final.format(nonce=nonce).encode()))
            messages = client.receive_to_end()
            assert messages and messages[-1].kind == b"E" and messages[-1].sqlstate in ("28P01", "08P01")


# pool_hba_file


def test_hba_lines_decide(make_balancer, dbname, secrets, session_directory):
    hba = session_directory.make("hba") / "pool_hba.conf"
    hba.write_text(
        "# type  database  user  address  method\n"
        f"host  {dbname}  app  127.0.0.1/32  scram-sha-256\n"
        f"host  {dbname}  other  127.0.0.1/32  reject\n"
        "host  postgres  all  127.0.0.1/32  trust\n"
        f"local {dbname}  app  trust\n"
    )
    balancer = make_balancer(enable_pool_hba="on", pool_hba_file=hba, secrets=[secrets["text"]])
    assert login(balancer, dbname) == "app"
    assert login(balancer, dbname, password="wrong") == "refused"
    assert "reject" in login(balancer, dbname, "other", USERS["other"])
    assert login(balancer, "postgres", "other", "whatever") == "other"
    assert "no " in login(balancer, "template1")  # no line matches
    assert login(balancer, dbname, password="", host=str(balancer.socket_directory)) == "app"
