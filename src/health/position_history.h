// position_history.h: how far the primary had written at which time. Pure.
//
// Bounded: of old samples only some are kept, so that the error made for a standby that is far behind is a small part
// of its delay.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pgbalancer {

class PositionHistory {
  public:
    // Everything that was written at `time_us` ends at or before `lsn`. Times grow. A position below the one before
    // means that the server has lost what it had not on disk: the history begins anew.
    void add(uint64_t lsn, int64_t time_us);
    void clear() { samples_.clear(); }

    // The latest time at which nothing was written beyond `lsn`; 0 = not known.
    int64_t time_of(uint64_t lsn) const;

    static constexpr size_t kMaxSamples = 256;
    size_t size() const { return samples_.size(); }

  private:
    struct Sample {
        uint64_t lsn;
        int64_t time_us;
    };
    void thin_out();

    std::vector<Sample> samples_; // both members grow
};

} // namespace pgbalancer
