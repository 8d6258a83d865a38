// status_file.h: what `pgbalancer status` shows, kept in a file of work_dir by the supervisor. Replaced whole, so a
// reader never sees half of it; removed when the service ends.
#pragma once

#include "common/result.h"

#include <string>
#include <sys/types.h>

namespace pgbalancer {

class StatusFile {
  public:
    static std::string path_in(const std::string &work_dir) { return work_dir + "/pgbalancer.status"; }

    explicit StatusFile(std::string path);
    StatusFile(const StatusFile &) = delete;
    StatusFile &operator=(const StatusFile &) = delete;
    ~StatusFile();

    Status write(const std::string &text) const;
    const std::string &path() const { return path_; }

  private:
    std::string path_;
    pid_t owner_;
};

} // namespace pgbalancer
