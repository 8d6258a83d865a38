// Lock files between processes: held, released, left behind, taken over.
#include "main/lock_file.h"

#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/wait.h>

#include "unit/cmocka_cpp.h"

namespace {

using namespace pgbalancer;

class Directory {
  public:
    Directory() : path_(mkdtemp(template_)) {}
    ~Directory() { std::filesystem::remove_all(path_); }
    std::string file(const char *name) const { return path_ + "/" + name; }

  private:
    char template_[64] = "/tmp/pgbalancer-lock-test.XXXXXX";
    std::string path_;
};

bool exists(const std::string &path) { return std::filesystem::exists(path); }

void put(const std::string &path, const std::string &text) { std::ofstream(path) << text; }

// A process that does something, says so, and then lives until it is killed.
class Process {
  public:
    explicit Process(const std::function<bool()> &first) {
        int ends[2];
        if (pipe(ends) != 0) {
            abort();
        }
        pid_ = fork();
        if (pid_ == 0) {
            const char done = first() ? 'y' : 'n';
            if (write(ends[1], &done, 1) != 1) {
                _exit(1);
            }
            pause();
            _exit(0);
        }
        char answer = 0;
        done_ = read(ends[0], &answer, 1) == 1 && answer == 'y';
        close(ends[0]);
        close(ends[1]);
    }
    ~Process() { end(); }
    void end() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        pid_ = 0;
    }
    pid_t pid() const { return pid_; }
    bool done() const { return done_; }

  private:
    pid_t pid_ = 0;
    bool done_ = false;
};

// Acquires, writes its process id, and keeps the lock until it is killed.
std::function<bool()> hold(const std::string &path) {
    return [path] {
        auto lock = LockFile::acquire(path, 0644);
        return lock && lock->write(std::to_string(getpid()) + "\nmore\n") && new LockFile(std::move(*lock)) != nullptr;
    };
}

void one_process_at_a_time(void **) {
    const Directory directory;
    const std::string path = directory.file("pid");
    const Process holder(hold(path));
    const auto refused = LockFile::acquire(path, 0644);
    const auto owner = find_owner(path);
    const pid_t found = owner && *owner ? **owner : 0;
    const bool names_it = !refused && refused.error().message.find(std::to_string(holder.pid())) != std::string::npos;
    assert_true(holder.done());
    assert_true(names_it);
    assert_int_equal(found, holder.pid());
}

void it_goes_with_its_owner_in_good_order(void **) {
    const Directory directory;
    const std::string path = directory.file("pid");
    bool existed = false;
    {
        auto lock = LockFile::acquire(path, 0644);
        existed = lock && exists(path);
    }
    const auto owner = find_owner(path);
    assert_true(existed);
    assert_false(exists(path));
    assert_true(owner && !*owner);
}

// The content of the file names a process that lives, but not one that has the lock: a recycled process id.
void a_killed_owners_file_is_taken_over(void **) {
    const Directory directory;
    const std::string path = directory.file("pid");
    Process killed(hold(path));
    killed.end();
    const bool left = exists(path);
    put(path, std::to_string(getppid()) + "\n");
    const auto owner = find_owner(path);
    auto lock = LockFile::acquire(path, 0644);
    const bool written = lock && lock->write(std::to_string(getpid()) + "\n");
    std::string content;
    std::ifstream(path) >> content;
    assert_true(left);
    assert_true(owner && !*owner);
    assert_true(written);
    assert_string_equal(content.c_str(), std::to_string(getpid()).c_str());
}

void a_file_that_was_only_looked_at_stays(void **) {
    const Directory directory;
    const std::string path = directory.file("lock");
    put(path, "1\n");
    { auto lock = LockFile::acquire(path, 0600); }
    assert_true(exists(path));
}

void children_do_not_hold_or_remove_it(void **) {
    const Directory directory;
    const std::string path = directory.file("pid");
    auto lock = new Result<LockFile>(LockFile::acquire(path, 0644));
    const pid_t child = fork();
    if (child == 0) {
        delete lock; // runs the destructor
        _exit(exists(path) ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    const Process heir([] { return true; }); // forked while the lock is held, lives on
    delete lock;
    const auto owner = find_owner(path);
    auto again = LockFile::acquire(path, 0644);
    const bool acquired = static_cast<bool>(again);
    assert_int_equal(status, 0);
    assert_true(owner && !*owner);
    assert_true(acquired);
}

void the_files_of_the_dead_are_removed_unless_taken_over(void **) {
    const Directory directory;
    const LeftFile left{.lock = directory.file("pid"), .companion = directory.file("socket")};
    Process dead(hold(left.lock));
    const pid_t pid = dead.pid();
    put(left.companion, "");
    remove_abandoned(left, pid); // still holds it
    const bool kept_while_held = exists(left.lock) && exists(left.companion);
    dead.end();
    remove_abandoned(left, pid + 1);
    const bool kept_for_another = exists(left.lock) && exists(left.companion);
    bool kept_after_takeover = false;
    {
        const Process successor(hold(left.lock));
        remove_abandoned(left, pid);
        kept_after_takeover = exists(left.lock) && exists(left.companion);
    }
    put(left.lock, std::to_string(pid) + "\n");
    remove_abandoned(left, pid);
    remove_abandoned(left, pid); // nothing left to do
    assert_true(kept_while_held);
    assert_true(kept_for_another);
    assert_true(kept_after_takeover);
    assert_false(exists(left.lock) || exists(left.companion));
}

void what_cannot_be_made_is_said(void **) {
    const auto lock = LockFile::acquire("/nowhere/at/all/pid", 0644);
    const bool refused = !lock && lock.error().message.find("/nowhere/at/all/pid") != std::string::npos;
    assert_true(refused);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(one_process_at_a_time),
        cmocka_unit_test(it_goes_with_its_owner_in_good_order),
        cmocka_unit_test(a_killed_owners_file_is_taken_over),
        cmocka_unit_test(a_file_that_was_only_looked_at_stays),
        cmocka_unit_test(children_do_not_hold_or_remove_it),
        cmocka_unit_test(the_files_of_the_dead_are_removed_unless_taken_over),
        cmocka_unit_test(what_cannot_be_made_is_said),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
