// SCRAM-SHA-256: each side against RFC 5802's formulas, both against each other, and against everything malformed.
#include "child/auth_scram.h"

#include "unit/cmocka_cpp.h"

#include <vector>

namespace {

using namespace pgbalancer;
using Outcome = ScramServer::Outcome;

// Made by PostgreSQL 15: CREATE ROLE ... PASSWORD 'pencil'.
constexpr char kVerifier[] = "SCRAM-SHA-256$4096:zUxLsUmyUEMeNnvEEVyX4g==$3C41uxn3LelLOQEhNS9s+qCtZAdhMO04w9fp2F2Ye6w=:"
                             "X7KZejE2SRdnzqx4vv4t03t0Mg63AF9WViWeOOEDl10=";
constexpr std::string_view kMechanisms{"SCRAM-SHA-256\0\0", 15};

Secret secret_of(std::string_view notation) { return *parse_secret(notation); }

std::string initial_body(std::string_view mechanism, uint32_t length, std::string_view message) {
    std::string body(mechanism);
    body += '\0';
    for (int shift = 24; shift >= 0; shift -= 8) {
        body += static_cast<char>(length >> shift & 0xFF);
    }
    return body.append(message);
}

std::string initial_body(std::string_view message) {
    return initial_body(kScramMechanism, static_cast<uint32_t>(message.size()), message);
}

// "challenge", "accepted" or "SQLSTATE message | detail"
std::string shown(const ScramServer::Reply &reply) {
    switch (reply.outcome) {
    case Outcome::challenge: return "challenge";
    case Outcome::accepted: return "accepted";
    case Outcome::refused: break;
    }
    return reply.error.sqlstate + " " + reply.error.message +
           (reply.error.detail.empty() ? "" : " | " + reply.error.detail);
}

std::string value_of(std::string_view message, char attribute) {
    const size_t at = message.find(std::string{attribute, '='});
    return std::string(message.substr(at + 2, message.find(',', at) - at - 2));
}

// RFC 5802 section 3, written down once more, independently of the state machines.
struct Formula {
    std::string final_message;
    std::string server_signature; // base64
};
Formula by_formula(std::string_view password, const std::string &first_bare, const std::string &server_first,
                   const std::string &binding) {
    const std::string salt = *base64_decode(value_of(server_first, 's'));
    const Key salted = pbkdf2_sha256(password, salt, std::stoi(value_of(server_first, 'i')));
    const Key client_key = hmac_sha256(salted.view(), {"Client Key"});
    const Key stored_key = sha256(client_key.view());
    const Key server_key = hmac_sha256(salted.view(), {"Server Key"});
    const std::string without_proof = "c=" + binding + ",r=" + value_of(server_first, 'r');
    const std::string auth_message = first_bare + "," + server_first + "," + without_proof;
    const Key proof = client_key ^ hmac_sha256(stored_key.view(), {auth_message});
    return {without_proof + ",p=" + base64_encode(proof.view()),
            base64_encode(hmac_sha256(server_key.view(), {auth_message}).view())};
}

struct ServerRun {
    ScramServer::Reply first;
    ScramServer::Reply last;
    std::string expected_final;
};

ServerRun run_server(const Secret *secret, KeyCache &cache, std::string_view password, char flag = 'n') {
    ScramServer server("alice", secret, cache);
    const std::string bare = "n=,r=abc";
    ServerRun run;
    run.first = server.on_initial_response(initial_body(std::string{flag} + ",," + bare));
    const Formula formula = by_formula(password, bare, run.first.data, flag == 'y' ? "eSws" : "biws");
    run.last = server.on_response(formula.final_message);
    run.expected_final = "v=" + formula.server_signature;
    return run;
}

void the_server_agrees_with_the_formulas(void **) {
    for (const char *notation : {kVerifier, "TEXTpencil"}) {
        for (const char flag : {'n', 'y'}) {
            KeyCache cache{Key()};
            const Secret secret = secret_of(notation);
            const ServerRun run = run_server(&secret, cache, "pencil", flag);
            const std::string nonce = value_of(run.first.data, 'r');
            assert_int_equal(run.last.outcome, Outcome::accepted);
            assert_string_equal(run.last.data.c_str(), run.expected_final.c_str());
            assert_true(nonce.starts_with("abc"));
            assert_int_equal(nonce.size(), 3 + 24);
        }
    }
}

void a_wrong_login_gets_one_answer(void **) {
    KeyCache cache{Key()};
    const Secret verifier = secret_of(kVerifier);
    const Secret md5 = secret_of("md538f591e5ee08fc954ca8f09e3078a243");
    const ServerRun runs[] = {
        run_server(&verifier, cache, "pen"),
        run_server(nullptr, cache, "pencil"),
        run_server(&md5, cache, "pencil"),
    };
    const char *details[] = {
        "Password does not match for user \"alice\".",
        "User \"alice\" has no entry in pool_passwd.",
        "User \"alice\" has an md5 entry in pool_passwd, which scram-sha-256 cannot use.",
    };
    for (size_t i = 0; i < 3; i++) {
        const std::string got = shown(runs[i].last);
        assert_string_equal(got.c_str(), "28P01 password authentication failed for user \"alice\"");
        assert_string_equal(runs[i].last.error.log_detail.c_str(), details[i]);
        assert_true(runs[i].last.data.empty());
    }
}

// An unknown user, an md5 user and a clear-text user see a challenge of the same shape and the same salt each time.
void a_challenge_does_not_tell_who_exists(void **) {
    KeyCache cache{Key()};
    KeyCache other_worker{Key()};
    const Secret plain = secret_of("TEXTpencil");
    const Secret md5 = secret_of("md538f591e5ee08fc954ca8f09e3078a243");
    const std::string unknown = run_server(nullptr, cache, "x").first.data;
    const std::string unknown_again = run_server(nullptr, cache, "x").first.data;
    const std::string unknown_elsewhere = run_server(nullptr, other_worker, "x").first.data;
    const std::string known = run_server(&plain, cache, "x").first.data;
    const std::string known_md5 = run_server(&md5, cache, "x").first.data;
    for (const std::string *other : {&unknown_again, &unknown_elsewhere, &known, &known_md5}) {
        assert_int_equal(other->size(), unknown.size());
        assert_true(value_of(*other, 's') == value_of(unknown, 's'));
        assert_true(value_of(*other, 'i') == value_of(unknown, 'i'));
        assert_true(value_of(*other, 'r') != value_of(unknown, 'r'));
    }
}

// SASLInitialResponse and client-first-message, with what PostgreSQL 15 says to the very same bytes
void malformed_first_messages_are_described_as_postgresql_does(void **) {
    const std::string binding = "08P01 malformed SCRAM message | The client selected SCRAM-SHA-256 without channel "
                                "binding, but the SCRAM message includes channel binding data.";
    const std::pair<std::string, std::string> cases[] = {
        {initial_body("n,,n=,r=abc"), "challenge"},
        {initial_body("n,,n=u,r=abc,x=1,y=2"), "challenge"},
        {initial_body("n,,n=,r="), "challenge"},
        {initial_body(""), "08P01 malformed SCRAM message | The message is empty."},
        {initial_body({"n,,n=,r=a\0b", 11}),
         "08P01 malformed SCRAM message | Message length does not match input length."},
        {initial_body("x,,n=,r=abc"), "08P01 malformed SCRAM message | Unexpected channel-binding flag \"'x'\"."},
        {initial_body("\x01"), "08P01 malformed SCRAM message | Unexpected channel-binding flag \"0x01\"."},
        {initial_body("p=tls-server-end-point,,n=,r=abc"), binding},
        {initial_body("n"), "08P01 malformed SCRAM message | Comma expected, but found character \"0x00\"."},
        {initial_body("nx"), "08P01 malformed SCRAM message | Comma expected, but found character \"'x'\"."},
        {initial_body("n,a=x,n=,r=abc"), "0A000 client uses authorization identity, but it is not supported"},
        {initial_body("n,"), "08P01 malformed SCRAM message | Unexpected attribute \"0x00\" in client-first-message."},
        {initial_body("n,\xff"),
         "08P01 malformed SCRAM message | Unexpected attribute \"0xff\" in client-first-message."},
        {initial_body("n,,m=x,n=,r=a"), "0A000 client requires an unsupported SCRAM extension"},
        {initial_body("n,,"), "08P01 malformed SCRAM message | Expected attribute \"n\" but found \"0x00\"."},
        {initial_body("n,,r=a"), "08P01 malformed SCRAM message | Expected attribute \"n\" but found \"'r'\"."},
        {initial_body("n,,nx"), "08P01 malformed SCRAM message | Expected character \"=\" for attribute \"n\"."},
        {initial_body("n,,n=,r"), "08P01 malformed SCRAM message | Expected character \"=\" for attribute \"r\"."},
        {initial_body("n,,n=,r=a b"), "08P01 non-printable characters in SCRAM nonce"},
        {initial_body("n,,n=,r=a\x7f"), "08P01 non-printable characters in SCRAM nonce"},
        {initial_body("n,,n=,r=abc,x"),
         "08P01 malformed SCRAM message | Expected character \"=\" for attribute \"x\"."},
        {initial_body("n,,n=,r=abc,,"),
         "08P01 malformed SCRAM message | Attribute expected, but found invalid character \"','\"."},
        {"", "08P01 invalid string in message"},
        {"SCRAM-SHA-256", "08P01 invalid string in message"},
        {initial_body("SCRAM-SHA-256-PLUS", 0, ""), "08P01 client selected an invalid SASL authentication mechanism"},
        {initial_body("SCRAM-SHA-1", 0, ""), "08P01 client selected an invalid SASL authentication mechanism"},
        {{"SCRAM-SHA-256\0\0\0\0", 17}, "08P01 insufficient data left in message"},
        {initial_body(kScramMechanism, 5, "n,,"), "08P01 insufficient data left in message"},
        {initial_body(kScramMechanism, 0x80000000, "abc"), "08P01 insufficient data left in message"},
        {initial_body(kScramMechanism, 0xFFFFFFFE, ""), "08P01 insufficient data left in message"},
        {initial_body(kScramMechanism, 2, "n,,n=,r=a"), "08P01 invalid message format"},
        {initial_body(kScramMechanism, 0xFFFFFFFF, "x"), "08P01 invalid message format"},
        {initial_body("n,,n=,r=" + std::string(1016, 'a')), "challenge"},
        {initial_body("n,,n=,r=" + std::string(1017, 'a')), "08P01 malformed SCRAM message | The message is too long."},
    };
    KeyCache cache{Key()};
    const Secret secret = secret_of(kVerifier);
    for (const auto &[body, expected] : cases) {
        ScramServer server("alice", &secret, cache);
        const std::string got = shown(server.on_initial_response(body));
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

// client-final-message; {N} stands for the nonce of the challenge
void malformed_final_messages_are_described_as_postgresql_does(void **) {
    const std::string p = base64_encode(std::string(32, 'x'));
    const std::string wrong = "28P01 password authentication failed for user \"alice\"";
    const std::string malformed = "08P01 malformed SCRAM message | ";
    const std::string binding = "08P01 unexpected SCRAM channel-binding attribute in client-final-message";
    const std::pair<std::string, std::string> cases[] = {
        {"c=biws,r={N},p=" + p, wrong},
        {"c=biws,r={N},x=1,p=" + p, wrong},
        {"c=biws,r={N},p=" + p + ",", wrong},
        {"", malformed + "The message is empty."},
        {"x=biws", malformed + "Expected attribute \"c\" but found \"'x'\"."},
        {"c", malformed + "Expected character \"=\" for attribute \"c\"."},
        {"c=", binding},
        {"c=eSws,r={N},p=" + p, binding},
        {"c=biws", malformed + "Expected attribute \"r\" but found \"0x00\"."},
        {"c=biws,r={N}", malformed + "Attribute expected, but found end of string."},
        {"c=biws,r={N},", malformed + "Attribute expected, but found end of string."},
        {"c=biws,r={N},p", malformed + "Expected character \"=\" for attribute \"p\"."},
        {"c=biws,r={N},p=", malformed + "Malformed proof in client-final-message."},
        {"c=biws,r={N},p=AAAA", malformed + "Malformed proof in client-final-message."},
        {"c=biws,r={N},p=" + p + "x", malformed + "Malformed proof in client-final-message."},
        {"c=biws,r={N},p= " + p, malformed + "Malformed proof in client-final-message."},
        {"c=biws,r={N},p=" + p.substr(0, 43), malformed + "Malformed proof in client-final-message."},
        {"c=biws,r={N},p=" + p + ",x=1", malformed + "Garbage found at the end of client-final-message."},
        {"c=biws,r={N},1=1,p=" + p, malformed + "Attribute expected, but found invalid character \"'1'\"."},
        {"c=biws,r={N}x,p=" + p, "08P01 invalid SCRAM response | Nonce does not match."},
        {"c=biws,r=abc,p=" + p, "08P01 invalid SCRAM response | Nonce does not match."},
        {"c=biws,r={N},p=" + p + std::string(1024, ','), malformed + "The message is too long."},
    };
    KeyCache cache{Key()};
    const Secret secret = secret_of(kVerifier);
    for (const auto &[message, expected] : cases) {
        ScramServer server("alice", &secret, cache);
        const std::string challenge = server.on_initial_response(initial_body("n,,n=,r=abc")).data;
        std::string sent = message;
        if (const size_t at = sent.find("{N}"); at != std::string::npos) {
            sent.replace(at, 3, value_of(challenge, 'r'));
        }
        const std::string got = shown(server.on_response(sent));
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

void a_client_may_send_its_first_message_late(void **) {
    KeyCache cache{Key()};
    const Secret secret = secret_of(kVerifier);
    ScramServer server("alice", &secret, cache);
    const auto empty = server.on_initial_response(initial_body(kScramMechanism, 0xFFFFFFFF, ""));
    const auto challenge = server.on_response("n,,n=,r=abc");
    const auto last = server.on_response(by_formula("pencil", "n=,r=abc", challenge.data, "biws").final_message);
    assert_int_equal(empty.outcome, Outcome::challenge);
    assert_true(empty.data.empty());
    assert_int_equal(challenge.outcome, Outcome::challenge);
    assert_int_equal(last.outcome, Outcome::accepted);
}

void messages_out_of_turn_are_refused(void **) {
    KeyCache cache{Key()};
    const Secret secret = secret_of(kVerifier);
    ScramServer fresh("alice", &secret, cache);
    const std::string too_early = shown(fresh.on_response("n,,n=,r=abc"));
    const std::string after_refusal = shown(fresh.on_initial_response(initial_body("n,,n=,r=abc")));
    ScramServer server("alice", &secret, cache);
    const auto challenge = server.on_initial_response(initial_body("n,,n=,r=abc"));
    const std::string final_message = by_formula("pencil", "n=,r=abc", challenge.data, "biws").final_message;
    const std::string first = shown(server.on_response(final_message));
    const std::string replayed = shown(server.on_response(final_message));
    assert_string_equal(too_early.c_str(), "08P01 unexpected SASL response");
    assert_string_equal(after_refusal.c_str(), "08P01 unexpected SASL initial response");
    assert_string_equal(first.c_str(), "accepted");
    assert_string_equal(replayed.c_str(), "08P01 unexpected SASL response");
}

// --- Both sides ---

struct Login {
    std::string error; // of whichever side; empty when both are content
    bool accepted = false;
    bool verified = false;
};

using Tamper = std::string (*)(const std::string &message, size_t step, size_t position);

// Runs a login; `tamper` may change each of the four messages.
Login log_in(const Secret &client_secret, KeyCache &client_cache, const Secret *server_secret, KeyCache &server_cache,
             Tamper tamper = nullptr, size_t position = 0) {
    const auto sent = [&](const std::string &message, size_t step) {
        return tamper == nullptr ? message : tamper(message, step, position);
    };
    Login login;
    ScramClient client(client_secret, client_cache);
    ScramServer server("alice", server_secret, server_cache);
    const auto first = client.on_mechanisms(kMechanisms);
    if (!first) {
        login.error = first.error().message;
        return login;
    }
    const auto challenge = server.on_initial_response(sent(*first, 0));
    if (challenge.outcome != Outcome::challenge) {
        login.error = shown(challenge);
        return login;
    }
    const auto proof = client.on_continue(sent(challenge.data, 1));
    if (!proof) {
        login.error = proof.error().message;
        return login;
    }
    const auto last = server.on_response(sent(*proof, 2));
    login.accepted = last.outcome == Outcome::accepted;
    if (!login.accepted) {
        login.error = shown(last);
        return login;
    }
    const Status status = client.on_final(sent(last.data, 3));
    login.error = status ? "" : status.error().message;
    login.verified = client.server_verified();
    return login;
}

void both_sides_understand_each_other(void **) {
    KeyCache cache{Key()};
    const Secret plain = secret_of("TEXTpencil");
    const Secret verifier = secret_of(kVerifier);
    const Secret accents = secret_of("TEXTe\xcc\x81 \xe2\x85\xa8");
    const Secret same_accents = secret_of("TEXT\xc3\xa9 IX");
    const Login to_plain = log_in(plain, cache, &plain, cache);
    const Login to_verifier = log_in(plain, cache, &verifier, cache);
    const Login prepared = log_in(accents, cache, &same_accents, cache);
    for (const Login *login : {&to_plain, &to_verifier, &prepared}) {
        assert_string_equal(login->error.c_str(), "");
        assert_true(login->accepted);
        assert_true(login->verified);
    }
}

void a_verified_client_lets_us_log_in_to_the_server(void **) {
    KeyCache application{Key()};
    KeyCache ours{Key()};
    KeyCache server{Key()};
    const Secret plain = secret_of("TEXTpencil");
    const Secret verifier = secret_of(kVerifier);
    const Login before = log_in(verifier, ours, &verifier, server);
    const Login client = log_in(plain, application, &verifier, ours);
    const Login after = log_in(verifier, ours, &verifier, server);
    // The server's password was changed: the same salt and count, other keys; or another salt.
    Secret other_keys = verifier;
    std::get<ScramVerifier>(other_keys).stored_key.bytes[0] ^= 1;
    const Login refused = log_in(verifier, ours, &other_keys, server);
    Secret other_salt = verifier;
    std::get<ScramVerifier>(other_salt).salt[0] ^= 1;
    const Login not_tried = log_in(verifier, ours, &other_salt, server);
    Secret other_count = verifier;
    std::get<ScramVerifier>(other_count).iterations = 8192;
    const Login not_tried_either = log_in(verifier, ours, &other_count, server);
    assert_string_equal(before.error.c_str(), "no client has proven its password for this SCRAM-SHA-256 verifier yet");
    assert_true(client.verified);
    assert_string_equal(after.error.c_str(), "");
    assert_true(after.verified);
    assert_string_equal(refused.error.c_str(), "28P01 password authentication failed for user \"alice\"");
    assert_string_equal(not_tried.error.c_str(), "the SCRAM-SHA-256 verifier in pool_passwd is not the server's");
    assert_string_equal(not_tried_either.error.c_str(),
                        "the SCRAM-SHA-256 verifier in pool_passwd is not the server's");
}

void a_failed_client_teaches_nothing(void **) {
    KeyCache application{Key()};
    KeyCache ours{Key()};
    const Secret wrong = secret_of("TEXTpen");
    const Secret verifier = secret_of(kVerifier);
    const Login client = log_in(wrong, application, &verifier, ours);
    const bool learned = ours.client_key(std::get<ScramVerifier>(verifier)) != nullptr;
    assert_false(client.accepted);
    assert_false(learned);
}

// Keys of its own making do not make a server: it must know what the verifier holds.
void a_server_that_does_not_know_the_password_is_found_out(void **) {
    KeyCache cache{Key()};
    const Secret plain = secret_of("TEXTpencil");
    Secret impostor = secret_of(kVerifier); // accepts our proof, but signs with another key
    std::get<ScramVerifier>(impostor).server_key.bytes[31] ^= 1;
    const Login login = log_in(plain, cache, &impostor, cache);
    assert_string_equal(login.error.c_str(), "incorrect server signature");
    assert_true(login.accepted);
    assert_false(login.verified);
}

std::string cut(const std::string &message, size_t step, size_t position) {
    return message.substr(0, position / 4 < message.size() && position % 4 == step ? position / 4 : message.size());
}
std::string flip(const std::string &message, size_t step, size_t position) {
    std::string out = message;
    if (position % 4 == step && position / 4 < out.size()) {
        out[position / 4] ^= 1;
    }
    return out;
}
std::string insert(const std::string &message, size_t step, size_t position) {
    std::string out = message;
    if (position % 4 == step && position / 4 <= out.size()) {
        out.insert(position / 4, 1, '\0');
    }
    return out;
}

// A login in which any byte of any message was lost, changed or added does not succeed on both sides.
void no_byte_can_be_changed(void **) {
    KeyCache cache{Key()};
    const Secret plain = secret_of("TEXTpencil");
    const Secret verifier = secret_of(kVerifier);
    size_t succeeded = 0;
    size_t silent = 0;
    const size_t sizes[] = {18 + 32, 84, 104, 46}; // of the four messages: c=biws + nonce + proof is the longest
    for (const Tamper tamper : {cut, flip, insert}) {
        for (size_t step = 0; step < 4; step++) {
            for (size_t position = 0; position < sizes[step]; position++) {
                const Login login = log_in(plain, cache, &verifier, cache, tamper, position * 4 + step);
                succeeded += login.accepted && login.verified ? 1 : 0;
                silent += login.error.empty() ? 1 : 0;
            }
        }
    }
    assert_int_equal(succeeded, 0);
    assert_int_equal(silent, 0);
}

// --- The client and a hostile server ---

std::string on_mechanisms(std::string_view list) {
    KeyCache cache{Key()};
    ScramClient client(secret_of("TEXTpencil"), cache);
    const auto body = client.on_mechanisms(list);
    return body ? body->substr(0, body->find('\0')) : body.error().message;
}

void the_mechanism_is_chosen_from_the_list(void **) {
    const std::string none = "none of the server's SASL authentication mechanisms are supported";
    const std::pair<std::string_view, std::string> cases[] = {
        {kMechanisms, "SCRAM-SHA-256"},
        {{"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", 34}, "SCRAM-SHA-256"},
        {{"SCRAM-SHA-256\0", 14}, "SCRAM-SHA-256"},
        {{"SCRAM-SHA-256-PLUS\0\0", 20}, none},
        {{"SCRAM-SHA-256", 13}, none},
        {{"\0SCRAM-SHA-256\0", 15}, none},
        {{"\0", 1}, none},
        {"", none},
    };
    for (const auto &[list, expected] : cases) {
        const std::string got = on_mechanisms(list);
        assert_string_equal(got.c_str(), expected.c_str());
    }
}

// server-first-message; {N} stands for our nonce
void malformed_challenges_are_refused(void **) {
    const std::string salt = base64_encode("0123456789abcdef");
    const std::string nonce_mismatch = "invalid SCRAM response (nonce mismatch)";
    const std::pair<std::string, std::string> cases[] = {
        {"r={N}x,s=" + salt + ",i=4096", ""},
        {"", "malformed SCRAM message (empty message)"},
        {"r={N}x,s=" + salt + ",i=4096" + std::string(1024, ' '), "malformed SCRAM message (message too long)"},
        {"r={N}" + std::string(1024, 'x') + ",s=" + salt + ",i=4096", "malformed SCRAM message (message too long)"},
        {std::string("r={N}x\0", 7) + ",s=" + salt + ",i=4096", "malformed SCRAM message (length mismatch)"},
        {"m=x,r={N}x,s=" + salt + ",i=4096", "server requires an unsupported SCRAM extension"},
        {"R={N}x,s=" + salt + ",i=4096", "malformed SCRAM message (attribute \"r\" expected)"},
        {"r", "malformed SCRAM message (attribute \"r\" expected)"},
        {"r=", nonce_mismatch},
        {"r={N},s=" + salt + ",i=4096", nonce_mismatch},
        {"r=x{N},s=" + salt + ",i=4096", nonce_mismatch},
        {"r={N}\x01,s=" + salt + ",i=4096", nonce_mismatch},
        {"r={N}x", "malformed SCRAM message (invalid salt)"},
        {"r={N}x,i=4096", "malformed SCRAM message (invalid salt)"},
        {"r={N}x,s=,i=4096", "malformed SCRAM message (invalid salt)"},
        {"r={N}x,s=?,i=4096", "malformed SCRAM message (invalid salt)"},
        {"r={N}x,s=" + base64_encode(std::string(kMaxScramSaltBytes + 1, 's')) + ",i=4096",
         "malformed SCRAM message (invalid salt)"},
        {"r={N}x,s=" + salt, "malformed SCRAM message (attribute \"i\" expected)"},
        {"r={N}x,s=" + salt + ",i=", "malformed SCRAM message (invalid iteration count)"},
        {"r={N}x,s=" + salt + ",i=0", "malformed SCRAM message (invalid iteration count)"},
        {"r={N}x,s=" + salt + ",i=-1", "malformed SCRAM message (invalid iteration count)"},
        {"r={N}x,s=" + salt + ",i=4096 ", "malformed SCRAM message (invalid iteration count)"},
        {"r={N}x,s=" + salt + ",i=4095",
         "server asks for 4095 SCRAM iterations, fewer than the 4096 that protect a clear-text password (put the "
         "server's verifier into pool_passwd)"},
        {"r={N}x,s=" + salt + ",i=1000001", "server asks for more than 1000000 SCRAM iterations"},
        {"r={N}x,s=" + salt + ",i=99999999999999999999", "server asks for more than 1000000 SCRAM iterations"},
        {"r={N}x,s=" + salt + ",i=4096,x=1", "malformed SCRAM message (garbage at end of server-first-message)"},
        {"r={N}x,s=" + salt + ",i=4096,", "malformed SCRAM message (garbage at end of server-first-message)"},
    };
    KeyCache cache{Key()};
    for (const auto &[message, expected] : cases) {
        ScramClient client(secret_of("TEXTpencil"), cache);
        const auto first = client.on_mechanisms(kMechanisms);
        std::string sent = message;
        if (const size_t at = sent.find("{N}"); at != std::string::npos) {
            sent.replace(at, 3, value_of(*first, 'r'));
        }
        const auto answer = client.on_continue(sent);
        const std::string got = answer ? "" : answer.error().message;
        assert_string_equal(got.c_str(), expected.c_str());
        assert_false(client.server_verified());
    }
}

void malformed_outcomes_are_refused(void **) {
    const std::string v = base64_encode(std::string(32, 'v'));
    const std::pair<std::string, std::string> cases[] = {
        {"v=" + v, "incorrect server signature"},
        {"e=other-error", "error received from server in SCRAM exchange: other-error"},
        {"", "malformed SCRAM message (empty message)"},
        {"v", "malformed SCRAM message (invalid server signature)"},
        {"v=", "malformed SCRAM message (invalid server signature)"},
        {"v=" + v.substr(0, 40), "malformed SCRAM message (invalid server signature)"},
        {"x=" + v, "malformed SCRAM message (invalid server signature)"},
        {"v=" + v + ",x=1", "malformed SCRAM message (garbage at end of server-final-message)"},
        {"v=" + v + ",", "malformed SCRAM message (garbage at end of server-final-message)"},
    };
    KeyCache cache{Key()};
    for (const auto &[message, expected] : cases) {
        ScramClient client(secret_of("TEXTpencil"), cache);
        const auto first = client.on_mechanisms(kMechanisms);
        const auto proof = client.on_continue("r=" + value_of(*first, 'r') + "x,s=c2FsdA==,i=4096");
        const Status status = client.on_final(message);
        const std::string got = status ? "" : status.error().message;
        assert_true(static_cast<bool>(proof));
        assert_string_equal(got.c_str(), expected.c_str());
        assert_false(client.server_verified());
    }
}

void a_server_out_of_turn_is_refused(void **) {
    KeyCache cache{Key()};
    ScramClient early(secret_of("TEXTpencil"), cache);
    const auto challenge = early.on_continue("r=x,s=c2FsdA==,i=4096");
    const auto after_failure = early.on_mechanisms(kMechanisms);
    ScramClient skipping(secret_of("TEXTpencil"), cache);
    const auto first = skipping.on_mechanisms(kMechanisms);
    // A signature with the key that is all zeros before there is a challenge must not be believed.
    const Status outcome = skipping.on_final("v=" + base64_encode(std::string(32, '\0')));
    ScramClient md5(secret_of("md538f591e5ee08fc954ca8f09e3078a243"), cache);
    const auto md5_first = md5.on_mechanisms(kMechanisms);
    const auto md5_proof = md5.on_continue("r=" + value_of(*md5_first, 'r') + "x,s=c2FsdA==,i=4096");
    assert_false(static_cast<bool>(challenge));
    assert_false(static_cast<bool>(after_failure));
    assert_true(static_cast<bool>(first));
    assert_false(static_cast<bool>(outcome));
    assert_false(skipping.server_verified());
    assert_false(static_cast<bool>(md5_proof));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_server_agrees_with_the_formulas),
        cmocka_unit_test(a_wrong_login_gets_one_answer),
        cmocka_unit_test(a_challenge_does_not_tell_who_exists),
        cmocka_unit_test(malformed_first_messages_are_described_as_postgresql_does),
        cmocka_unit_test(malformed_final_messages_are_described_as_postgresql_does),
        cmocka_unit_test(a_client_may_send_its_first_message_late),
        cmocka_unit_test(messages_out_of_turn_are_refused),
        cmocka_unit_test(both_sides_understand_each_other),
        cmocka_unit_test(a_verified_client_lets_us_log_in_to_the_server),
        cmocka_unit_test(a_failed_client_teaches_nothing),
        cmocka_unit_test(a_server_that_does_not_know_the_password_is_found_out),
        cmocka_unit_test(no_byte_can_be_changed),
        cmocka_unit_test(the_mechanism_is_chosen_from_the_list),
        cmocka_unit_test(malformed_challenges_are_refused),
        cmocka_unit_test(malformed_outcomes_are_refused),
        cmocka_unit_test(a_server_out_of_turn_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
