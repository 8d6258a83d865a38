#include "health/position_history.h"

#include <algorithm>

namespace pgbalancer {

void PositionHistory::add(uint64_t lsn, int64_t time_us) {
    if (!samples_.empty() && lsn < samples_.back().lsn) {
        samples_.clear();
    }
    if (!samples_.empty() && lsn == samples_.back().lsn) {
        samples_.back().time_us = time_us;
        return;
    }
    samples_.push_back({.lsn = lsn, .time_us = time_us});
    if (samples_.size() > kMaxSamples) {
        thin_out();
    }
}

int64_t PositionHistory::time_of(uint64_t lsn) const {
    const auto beyond = std::ranges::upper_bound(samples_, lsn, {}, &Sample::lsn);
    return beyond == samples_.begin() ? 0 : std::prev(beyond)->time_us;
}

// Removes the sample that leaves the smallest gap, for its age.
void PositionHistory::thin_out() {
    size_t least = 1;
    double least_gap = 0;
    for (size_t i = 1; i + 1 < samples_.size(); i++) {
        const int64_t gap = samples_[i + 1].time_us - samples_[i - 1].time_us;
        const int64_t age = samples_.back().time_us - samples_[i - 1].time_us;
        const double relative = static_cast<double>(gap) / static_cast<double>(age);
        if (i == 1 || relative < least_gap) {
            least = i;
            least_gap = relative;
        }
    }
    samples_.erase(samples_.begin() + static_cast<ptrdiff_t>(least));
}

} // namespace pgbalancer
