#include "config/edit_distance.h"

#include "config/words.h"

#include <algorithm>
#include <vector>

namespace pgbalancer {

size_t edit_distance(std::string_view a, std::string_view b) {
    const auto same = [&](size_t i, size_t j) { return lower(a[i]) == lower(b[j]); };
    // Three rows of the distance matrix: the one before the last is needed for swaps.
    std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
    for (size_t j = 0; j <= b.size(); j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.size(); i++) {
        std::swap(before, last);
        std::swap(last, row);
        row[0] = i;
        for (size_t j = 1; j <= b.size(); j++) {
            const size_t replaced = last[j - 1] + (same(i - 1, j - 1) ? 0 : 1);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, replaced});
            if (i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1)) {
                row[j] = std::min(row[j], before[j - 2] + 1);
            }
        }
    }
    return row[b.size()];
}

} // namespace pgbalancer
