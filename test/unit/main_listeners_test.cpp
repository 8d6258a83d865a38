// Listening sockets: made, refused, taken over from the dead, left to the living.
#include "main/listeners.h"

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;
using namespace std::chrono_literals;

class Directory {
  public:
    Directory() : path_(mkdtemp(template_)) {}
    ~Directory() { std::filesystem::remove_all(path_); }
    const std::string &path() const { return path_; }

  private:
    char template_[64] = "/tmp/pgbalancer-listen-test.XXXXXX";
    std::string path_;
};

bool exists(const std::string &path) { return std::filesystem::exists(path); }

// A TCP port of 127.0.0.1 that is taken for as long as this lives.
class TakenPort {
  public:
    TakenPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (bind(fd_.get(), reinterpret_cast<sockaddr *>(&address), size) != 0 || ::listen(fd_.get(), 1) != 0 ||
            getsockname(fd_.get(), reinterpret_cast<sockaddr *>(&address), &size) != 0) {
            abort();
        }
        number_ = ntohs(address.sin_port);
    }
    uint16_t number() const { return number_; }
    void free() { fd_.reset(); }

  private:
    UniqueFd fd_;
    uint16_t number_ = 0;
};

uint16_t free_port() { return TakenPort().number(); }

bool connects(uint16_t port) {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return connect(fd.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) == 0;
}

sockaddr_un unix_address(const std::string &path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

bool connects(const std::string &path) {
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = unix_address(path);
    return connect(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0;
}

UniqueFd listen_at(const std::string &path) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_un address = unix_address(path);
    if (bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 1) != 0) {
        abort();
    }
    return fd;
}

Config config_for(std::vector<std::string> addresses, std::vector<std::string> directories) {
    Config config;
    config.listen_addresses = std::move(addresses);
    config.unix_socket_directories = std::move(directories);
    config.port = free_port();
    return config;
}

std::string error_of(const Config &config) {
    const auto listeners = Listeners::open(config, 0ms);
    return listeners ? std::string() : listeners.error().message;
}

void clients_can_connect_and_nothing_is_left(void **) {
    const Directory directory;
    Config config = config_for({"127.0.0.1"}, {directory.path()});
    config.unix_socket_permissions = 0700;
    const std::string path = directory.path() + "/.s.PGSQL." + std::to_string(config.port);
    auto listeners = Listeners::open(config, 0ms);
    const bool opened = static_cast<bool>(listeners);
    const size_t count = opened ? listeners->descriptors().size() : 0;
    const std::string description = opened ? listeners->description() : "";
    const bool tcp = connects(config.port);
    const bool local = connects(path);
    const bool locked = exists(path + ".lock");
    struct stat info {};
    stat(path.c_str(), &info);
    const mode_t mode = info.st_mode & 0777;
    if (opened) {
        listeners->close();
    }
    assert_true(opened);
    assert_int_equal(count, 2);
    assert_string_equal(description.c_str(), ("127.0.0.1:" + std::to_string(config.port) + ", " + path).c_str());
    assert_true(tcp && local && locked);
    assert_int_equal(mode, 0700);
    assert_false(connects(config.port));
    assert_false(exists(path) || exists(path + ".lock"));
}

// A child that has the sockets too and does nothing.
void nobody_listens_after_the_close(void **) {
    const Directory directory;
    const Config config = config_for({"127.0.0.1"}, {directory.path()});
    const std::string path = directory.path() + "/.s.PGSQL." + std::to_string(config.port);
    auto listeners = Listeners::open(config, 0ms);
    const pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    std::filesystem::rename(path, path + ".kept");
    const bool before = connects(config.port) && connects(path + ".kept");
    if (listeners) {
        listeners->close();
    }
    const bool tcp = connects(config.port);
    const bool unix_domain = connects(path + ".kept");
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    assert_true(before);
    assert_false(tcp);
    assert_false(unix_domain);
}

void every_address_includes_ipv4_once(void **) {
    const Config config = config_for({"*", "0.0.0.0"}, {});
    auto listeners = Listeners::open(config, 0ms);
    const std::string description = listeners ? listeners->description() : "";
    const bool tcp = connects(config.port);
    assert_true(tcp);
    assert_non_null(strstr(description.c_str(), "0.0.0.0:"));
}

void a_taken_port_is_named(void **) {
    const TakenPort taken;
    Config config = config_for({"127.0.0.1"}, {});
    config.port = taken.number();
    const std::string error = error_of(config);
    assert_non_null(strstr(error.c_str(), ("127.0.0.1:" + std::to_string(taken.number())).c_str()));
    assert_non_null(strstr(error.c_str(), "in use"));
}

// What is left of a predecessor gives the port up a moment later.
void a_port_can_be_waited_for(void **) {
    TakenPort taken;
    const pid_t predecessor = fork();
    if (predecessor == 0) {
        usleep(100000);
        _exit(0);
    }
    Config config = config_for({"127.0.0.1"}, {});
    config.port = taken.number();
    taken.free();
    const bool impatient = static_cast<bool>(Listeners::open(config, 0ms));
    const bool patient = static_cast<bool>(Listeners::open(config, 10s));
    waitpid(predecessor, nullptr, 0);
    assert_false(impatient);
    assert_true(patient);
}

void a_dead_servers_socket_is_replaced(void **) {
    const Directory directory;
    const Config config = config_for({}, {directory.path()});
    const std::string path = directory.path() + "/.s.PGSQL." + std::to_string(config.port);
    listen_at(path).reset(); // the file stays
    const bool left = exists(path);
    auto listeners = Listeners::open(config, 0ms);
    const bool connected = connects(path);
    assert_true(left);
    assert_true(static_cast<bool>(listeners) && connected);
}

void a_living_servers_socket_is_not(void **) {
    const Directory directory;
    const Config config = config_for({}, {directory.path()});
    const std::string path = directory.path() + "/.s.PGSQL." + std::to_string(config.port);
    const UniqueFd other = listen_at(path);
    const std::string error = error_of(config);
    const bool still_there = connects(path);
    assert_non_null(strstr(error.c_str(), "another server"));
    assert_true(still_there);
}

void nor_is_another_pgbalancers(void **) {
    const Directory directory;
    const Config config = config_for({}, {directory.path()});
    const std::string path = directory.path() + "/.s.PGSQL." + std::to_string(config.port);
    int ends[2];
    const bool piped = pipe(ends) == 0;
    const pid_t other = fork();
    if (other == 0) {
        const auto listeners = Listeners::open(config, 0ms);
        char byte = listeners ? 'y' : 'n';
        const bool said = write(ends[1], &byte, 1) == 1;
        close(ends[1]);
        pause();
        _exit(said ? 0 : 1);
    }
    char opened = 0;
    const bool heard = read(ends[0], &opened, 1) == 1;
    const std::string error = error_of(config);
    const bool still_there = connects(path);
    kill(other, SIGKILL);
    waitpid(other, nullptr, 0);
    assert_true(piped && heard && opened == 'y');
    assert_non_null(strstr(error.c_str(), ("running process " + std::to_string(other)).c_str()));
    assert_true(still_there);
}

void what_cannot_be_had_is_said(void **) {
    const Directory directory;
    Config group = config_for({}, {directory.path()});
    group.unix_socket_group = "no-such-group";
    const std::string no_directory = error_of(config_for({}, {"/nowhere/at/all"}));
    const std::string too_long = error_of(config_for({}, {"/" + std::string(120, 'x')}));
    const std::string no_name = error_of(config_for({"no.such.name.invalid"}, {}));
    const std::string not_ours = error_of(config_for({"192.0.2.1"}, {}));
    const std::string no_group = error_of(group);
    const bool left = !std::filesystem::is_empty(directory.path());
    assert_non_null(strstr(no_directory.c_str(), "/nowhere/at/all"));
    assert_non_null(strstr(too_long.c_str(), "107 bytes"));
    assert_non_null(strstr(no_name.c_str(), "no.such.name.invalid"));
    assert_non_null(strstr(not_ours.c_str(), "192.0.2.1"));
    assert_non_null(strstr(no_group.c_str(), "no-such-group"));
    assert_false(left);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(clients_can_connect_and_nothing_is_left),
        cmocka_unit_test(nobody_listens_after_the_close),
        cmocka_unit_test(every_address_includes_ipv4_once),
        cmocka_unit_test(a_taken_port_is_named),
        cmocka_unit_test(a_port_can_be_waited_for),
        cmocka_unit_test(a_dead_servers_socket_is_replaced),
        cmocka_unit_test(a_living_servers_socket_is_not),
        cmocka_unit_test(nor_is_another_pgbalancers),
        cmocka_unit_test(what_cannot_be_had_is_said),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
